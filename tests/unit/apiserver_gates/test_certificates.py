from __future__ import annotations

import base64
from typing import Any

import pytest

from kybern.api import bootstraptokens as tokens
from kybern.api.certificates import certificatesigningrequest as kind
from kybern.api.certificates.certificatesigningrequest import CertificateSigningRequest
from kybern.api.certificates.clustertrustbundle import ClusterTrustBundle
from kybern.api.errors import Forbidden, Unauthorized
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes
from kybern.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from kybern.apiserver.app import Decision
from kybern.apiserver.authn.bearer import Bearer
from kybern.apiserver.authn.bootstraptoken import BootstrapTokens
from kybern.apiserver.request import Request, RequestInfo, UserInfo
from kybern.process.clock import clock, format_time
from kybern.testing import certificates
from tests.unit.apiserver_gates.fakes import FakeLister

CSR = CertificateSigningRequest()
USAGES = ("digital signature", "client auth")


class Allows:
    """An authorizer that lets everybody do (verb, signer), and an app that has it."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = pairs
        self.authorizers = [self]

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        asked = (info.group, info.resource) == ("certificates.k8s.io", "signers")
        return Decision(True if asked and (info.verb, info.name) in self.pairs else None)


def app(*pairs: tuple[str, str]) -> Any:
    return Allows(*pairs)


def request(signer: str = kind.KUBELET_CLIENT, organizations: tuple[str, ...] = (), **status: Any) -> Object:
    made = certificates.signing_request("one", certificates.request("alice", organizations), signer, USAGES)
    return {**made, "status": status}


def update(new: Object, old: Object, subresource: str) -> Attributes:
    return Attributes(UPDATE, CSR, "", "one", UserInfo("bob"), new, old, subresource)


async def test_approving_needs_leave_for_the_signer() -> None:
    old = request()
    with pytest.raises(Forbidden) as refused:
        await CertificateApproval(app()).validate(update(old, old, "approval"))
    assert str(refused.value) == (
        'certificatesigningrequests.certificates.k8s.io "one" is forbidden: user not permitted to approve requests '
        'with signerName "kubernetes.io/kube-apiserver-client-kubelet"'
    )
    for name in (kind.KUBELET_CLIENT, "kubernetes.io/*"):
        await CertificateApproval(app(("approve", name))).validate(update(old, old, "approval"))
    await CertificateApproval(app()).validate(update(old, old, "status"))


async def test_the_signer_that_counts_is_the_stored_one() -> None:
    new = request("example.com/mine")
    with pytest.raises(Forbidden, match="kube-apiserver-client-kubelet"):
        await CertificateApproval(app(("approve", "example.com/mine"))).validate(update(new, request(), "approval"))


async def test_signing_needs_leave_only_if_something_is_signed() -> None:
    old = request()
    await CertificateSigning(app()).validate(update(request(), old, "status"))
    for status in ({"certificate": "x"}, {"conditions": [{"type": "Failed", "status": "True"}]}):
        with pytest.raises(Forbidden, match="user not permitted to sign requests with signerName"):
            await CertificateSigning(app()).validate(update(request(**status), old, "status"))
        await CertificateSigning(app(("sign", kind.KUBELET_CLIENT))).validate(update(request(**status), old, "status"))


async def test_attesting_needs_leave_for_the_signer() -> None:
    def bundle(signer: str) -> Attributes:
        made = {"metadata": {"name": "b"}, "spec": {"signerName": signer} if signer else {}}
        return Attributes(CREATE, ClusterTrustBundle(), "", "b", UserInfo("bob"), made)

    await ClusterTrustBundleAttest(app()).validate(bundle(""))
    await ClusterTrustBundleAttest(app(("attest", "example.com/*"))).validate(bundle("example.com/one"))
    with pytest.raises(Forbidden, match="user not permitted to attest for signerName"):
        await ClusterTrustBundleAttest(app(("attest", "example.com/two"))).validate(bundle("example.com/one"))


async def test_nobody_is_made_a_master() -> None:
    plugin = CertificateSubjectRestriction(app())

    def creation(obj: Object) -> Attributes:
        return Attributes(CREATE, CSR, "", "one", UserInfo("bob"), obj)

    with pytest.raises(Forbidden, match="signer with system:masters group is not"):
        await plugin.validate(creation(request(kind.APISERVER_CLIENT, ("dev", "system:masters"))))
    await plugin.validate(creation(request(kind.APISERVER_CLIENT, ("dev",))))
    await plugin.validate(creation(request("example.com/mine", ("system:masters",))))


TOKEN = "abcdef.0123456789abcdef"


def secret(type: str = tokens.SECRET_TYPE, **data: str | None) -> Object:
    found = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        **{key.replace("_", "-"): value for key, value in data.items()},
    }
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in found.items() if value is not None}
    meta = {"name": "bootstrap-token-abcdef", "namespace": "kube-system", "uid": "u"}
    return {"metadata": meta, "type": type, "data": encoded}


def asked(token: str = TOKEN) -> Request:
    return Request("GET", "/api", headers={"authorization": f"Bearer {token}"})


async def test_a_bootstrap_token_names_its_groups() -> None:
    extra = "system:bootstrappers:kubeadm:default-node-token"
    later = format_time(clock.time() + 3600)
    bearer = Bearer([BootstrapTokens(FakeLister(secret(auth_extra_groups=extra, expiration=later)))])
    user = await bearer.authenticate(asked())
    assert user == UserInfo("system:bootstrap:abcdef", ("system:bootstrappers", extra, "system:authenticated"))


@pytest.mark.parametrize(
    "found",
    [
        secret(type="Opaque"),
        secret(token_secret="fedcba9876543210"),
        secret(token_id="abcdeg"),
        secret(usage_bootstrap_authentication="false"),
        secret(usage_bootstrap_authentication=None),
        secret(auth_extra_groups="system:masters"),
        secret(expiration=format_time(clock.time() - 1)),
        secret(expiration="tomorrow"),
    ],
)
async def test_refused_bootstrap_tokens(found: Object) -> None:
    with pytest.raises(Unauthorized):
        await Bearer([BootstrapTokens(FakeLister(found))]).authenticate(asked())


async def test_a_deleted_bootstrap_token_is_refused_and_an_unknown_one_too() -> None:
    dying = secret()
    dying["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    for bearer in (Bearer([BootstrapTokens(FakeLister(dying))]), Bearer([BootstrapTokens(FakeLister())])):
        with pytest.raises(Unauthorized):
            await bearer.authenticate(asked())
    assert await BootstrapTokens(FakeLister(secret())).user("ABCDEF.0123456789abcdef") is None


async def test_a_bootstrap_token_is_for_the_servers_audiences() -> None:
    authenticator = BootstrapTokens(FakeLister(secret()), ["api"])
    found = await authenticator.user(TOKEN, ["other", "api"])
    assert found is not None
    assert found[1] == ("api",)
    assert await authenticator.user(TOKEN, ["other"]) is None
