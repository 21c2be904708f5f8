"""Requests for certificates, approved and signed; cluster-info, signed by tokens; tokens that expire."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from kybern.api.certificates.certificatesigningrequest import APISERVER_CLIENT, KUBELET_CLIENT, condition
from kybern.api.errors import Forbidden, NotFound
from kybern.api.types import Object
from kybern.cluster.pki import Authority
from kybern.controllers.bootstrapsigner import detached_signature
from kybern.controllers.options import Options
from kybern.process.clock import clock, format_time
from kybern.testing import certificates
from kybern.testing.cluster import InProcessCluster

CSR = ("certificates.k8s.io/v1", "certificatesigningrequests")
CLIENT = ("digital signature", "client auth")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def cluster(authority: Authority) -> AsyncIterator[InProcessCluster]:
    files = (str(authority.certificate_path), str(authority.key_path))
    options = Options(cluster_signing={KUBELET_CLIENT: files, APISERVER_CLIENT: files})
    controllers = "*,bootstrapsigner,tokencleaner"
    async with InProcessCluster(nodes=0, controllers=controllers, options=options, scheduler=False) as made:
        yield made


async def ask(
    cluster: InProcessCluster, name: str, pem: bytes, signer: str, usages: tuple[str, ...] = CLIENT
) -> Object:
    return await cluster.create(certificates.signing_request(name, pem, signer, usages))


async def approve(cluster: InProcessCluster, found: Object, kind: str = "Approved") -> Object:
    status = {"conditions": [{"type": kind, "status": "True", "reason": "Test"}]}
    return await cluster.resource(*CSR).update({**found, "status": status}, subresource="approval")


async def settled(cluster: InProcessCluster, name: str, kind: str = "") -> Object:
    async def done() -> Object | None:
        found = await cluster.resource(*CSR).get(name)
        ready = condition(found, kind) if kind else found["status"].get("certificate")
        return found if ready else None

    made: Object = await cluster.until(done)
    return made


async def test_a_kubelet_gets_its_certificate_at_once(cluster: InProcessCluster, authority: Authority) -> None:
    pem = certificates.request("system:node:n1", ["system:nodes"])
    made = await ask(cluster, "n1", pem, KUBELET_CLIENT)
    assert made["spec"]["username"] == "kubernetes-admin"
    found = await settled(cluster, "n1")
    approved = condition(found, "Approved")
    assert approved is not None
    assert approved["reason"] == "AutoApproved"
    assert approved["message"] == "Auto approving kubelet client certificate after SubjectAccessReview."
    issued = x509.load_pem_x509_certificate(base64.b64decode(found["status"]["certificate"]))
    issued.verify_directly_issued_by(authority.certificate)
    assert issued.subject == certificates.subject("system:node:n1", ["system:nodes"])


async def test_others_wait_for_an_approver(cluster: InProcessCluster) -> None:
    made = await ask(cluster, "alice", certificates.request("alice"), APISERVER_CLIENT)
    assert made["status"] == {}
    await approve(cluster, made)
    await settled(cluster, "alice")
    denied = await approve(cluster, await ask(cluster, "bob", certificates.request("bob"), APISERVER_CLIENT), "Denied")
    assert condition(denied, "Denied")


async def test_what_the_signer_does_not_accept_fails(cluster: InProcessCluster) -> None:
    pem = certificates.request("alice")
    await approve(cluster, await ask(cluster, "alice", pem, APISERVER_CLIENT, ("server auth",)))
    failed = condition(await settled(cluster, "alice", "Failed"), "Failed")
    assert failed is not None
    assert (failed["reason"], failed["message"]) == (
        "SignerValidationFailure",
        "invalid usage for client certificate: server auth",
    )


async def test_the_spec_does_not_change_and_masters_are_not_made(cluster: InProcessCluster) -> None:
    made = await ask(cluster, "alice", certificates.request("alice"), "example.com/mine")
    changed = {**made, "spec": {**made["spec"], "usages": ["any"], "username": "root"}}
    changed["metadata"] = {**made["metadata"], "labels": {"a": "b"}}
    after = await cluster.resource(*CSR).update(changed)
    assert after["spec"] == made["spec"]
    assert after["metadata"]["labels"] == {"a": "b"}
    with pytest.raises(Forbidden, match="system:masters"):
        await ask(cluster, "evil", certificates.request("evil", ["system:masters"]), APISERVER_CLIENT)


def token(token_id: str, **data: str) -> Object:
    found = {
        "token-id": token_id,
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-signing": "true",
        **data,
    }
    meta = {"name": f"bootstrap-token-{token_id}", "namespace": "kube-system"}
    kind = {"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token"}
    return {**kind, "metadata": meta, "stringData": found}


async def test_cluster_info_carries_the_signatures_of_the_tokens_there_are(cluster: InProcessCluster) -> None:
    maps, secrets = cluster.resource("v1", "configmaps"), cluster.resource("v1", "secrets")
    info = {"name": "cluster-info", "namespace": "kube-public"}
    await maps.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": info, "data": {"kubeconfig": "content"}})
    for one in ("aaaaaa", "bbbbbb"):
        await cluster.create(token(one))

    def signed(*ids: str) -> Any:
        wanted = {f"jws-kubeconfig-{one}": detached_signature("content", one, "0123456789abcdef") for one in ids}

        async def check() -> bool:
            data = (await maps.get("cluster-info", "kube-public"))["data"]
            return bool(data == {"kubeconfig": "content", **wanted})

        return check

    await cluster.until(signed("aaaaaa", "bbbbbb"))
    await secrets.delete("bootstrap-token-aaaaaa", "kube-system")
    await cluster.until(signed("bbbbbb"))


async def test_expired_tokens_are_removed(cluster: InProcessCluster) -> None:
    await cluster.create(token("aaaaaa", expiration=format_time(clock.time() - 1)))
    await cluster.create(token("bbbbbb", expiration=format_time(clock.time() + 3600)))
    secrets = cluster.resource("v1", "secrets")

    async def gone() -> bool:
        try:
            await secrets.get("bootstrap-token-aaaaaa", "kube-system")
        except NotFound:
            return True
        return False

    await cluster.until(gone)
    assert await secrets.get("bootstrap-token-bbbbbb", "kube-system")
