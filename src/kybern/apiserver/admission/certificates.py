"""CertificateApproval, CertificateSigning, CertificateSubjectRestriction and ClusterTrustBundleAttest: who may approve,
sign and attest for which signer, and which subject nobody is given.

Source: Kubernetes documentation, "Certificates and Certificate Signing Requests", Authorization.
"""

from __future__ import annotations

from kybern.api.cells import at
from kybern.api.certificates import requests
from kybern.api.certificates.certificatesigningrequest import APISERVER_CLIENT
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import MASTERS, Union
from kybern.apiserver.request import RequestInfo

GROUP = "certificates.k8s.io"
_REQUESTS = (GROUP, "certificatesigningrequests")


class _ForSigner(Plugin):
    """Asks for a verb on the signer, or on all signers of its domain (`kubernetes.io/*`)."""

    handles = frozenset({_REQUESTS})
    operations = frozenset({UPDATE})

    def __init__(self, app: App) -> None:
        self._app = app

    async def _require(self, a: Attributes, verb: str) -> None:
        # The signer of the old object: a request whose spec was changed on the way gives no other rights.
        signer = at(a.old, "spec", "signerName") or ""
        if not await self._may(a, verb, signer):
            raise a.forbidden(f'user not permitted to {verb} requests with signerName "{signer}"')

    async def _may(self, a: Attributes, verb: str, signer: str) -> bool:
        domain = signer.partition("/")[0]
        for name in (signer, f"{domain}/*"):
            info = RequestInfo(verb, "", True, GROUP, "*", "signers", "", "", name)
            if (await Union(self._app.authorizers).authorize(a.user, info)).allowed:
                return True
        return False


class CertificateApproval(_ForSigner):
    """Who approves or denies may `approve` for the signer."""

    name = "CertificateApproval"

    async def validate(self, a: Attributes) -> None:
        if a.subresource == "approval":
            await self._require(a, "approve")


class CertificateSigning(_ForSigner):
    """Who writes a certificate or a condition through `status` may `sign` for the signer."""

    name = "CertificateSigning"

    async def validate(self, a: Attributes) -> None:
        if a.subresource != "status":
            return
        for field in ("certificate", "conditions"):
            if (at(a.old, "status", field) or None) != (at(a.object, "status", field) or None):
                await self._require(a, "sign")
                return


class ClusterTrustBundleAttest(_ForSigner):
    """Who writes a bundle of a signer may `attest` for it."""

    name = "ClusterTrustBundleAttest"
    handles = frozenset({(GROUP, "clustertrustbundles")})
    operations = frozenset({CREATE, UPDATE})

    async def validate(self, a: Attributes) -> None:
        signer = at(a.object, "spec", "signerName")
        if not a.subresource and signer and not await self._may(a, "attest", signer):
            raise a.forbidden(f'user not permitted to attest for signerName "{signer}"')


class CertificateSubjectRestriction(Plugin):
    """The signer of API clients makes nobody a member of system:masters."""

    name = "CertificateSubjectRestriction"
    handles = frozenset({_REQUESTS})
    operations = frozenset({CREATE})

    async def validate(self, a: Attributes) -> None:
        if a.subresource or at(a.object, "spec", "signerName") != APISERVER_CLIENT:
            return
        try:
            asked = requests.parse(at(a.object, "spec", "request"))
        except ValueError as error:
            raise a.forbidden(f"failed to parse CSR: {error}") from error
        if MASTERS in requests.organizations(asked.subject):
            raise a.forbidden(f"use of {APISERVER_CLIENT} signer with {MASTERS} group is not allowed")
