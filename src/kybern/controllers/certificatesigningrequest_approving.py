"""Approves client certificates of kubelets for those who may have them.

Who asks must be allowed to `create` certificatesigningrequests/nodeclient, or selfnodeclient to renew their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kybern.api.cells import at
from kybern.api.certificates import requests
from kybern.api.certificates.certificatesigningrequest import APPROVED, DENIED, KUBELET_CLIENT, condition
from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.client.controller import Failure
from kybern.controllers.certificatesigningrequest_signing import API_VERSION
from kybern.controllers.controller import Context, Controller

if TYPE_CHECKING:
    from cryptography import x509

_MESSAGES = {
    "selfnodeclient": "Auto approving self kubelet client certificate after SubjectAccessReview.",
    "nodeclient": "Auto approving kubelet client certificate after SubjectAccessReview.",
}


class ApprovingController(Controller):
    name = "certificatesigningrequest-approving-controller"
    aliases = ("csrapproving",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.requests = self.informer(API_VERSION, "certificatesigningrequests", namespaced=False)
        self._requests = self.client.resource(API_VERSION, "certificatesigningrequests", namespaced=False)
        self._reviews = self.client.resource("authorization.k8s.io/v1", "subjectaccessreviews", namespaced=False)
        self.watch(self.requests, lambda obj: [obj["metadata"]["name"]])

    async def reconcile(self, key: str) -> float | None:
        found = self.requests.get(key)
        if found is None or at(found, "status", "certificate"):
            return None
        if condition(found, APPROVED) or condition(found, DENIED):
            return None
        try:
            tried = recognized(found, requests.parse(found["spec"]["request"]))
        except ValueError as error:
            raise Failure(f"can't be read: {error}") from error
        for subresource in tried:
            if await self._may(found["spec"], subresource):
                await self._approve(found, _MESSAGES[subresource])
                return None
        if tried:
            raise Failure(f"recognized as [{' '.join(tried)}] but subject access review was not approved")
        return None

    async def _may(self, spec: Object, subresource: str) -> bool:
        asked = {
            "user": spec.get("username", ""),
            "uid": spec.get("uid", ""),
            "groups": spec.get("groups") or [],
            "extra": spec.get("extra") or {},
            "resourceAttributes": {
                "group": "certificates.k8s.io",
                "resource": "certificatesigningrequests",
                "subresource": subresource,
                "verb": "create",
            },
        }
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": asked}
        answer = await self._reviews.create(body)
        return bool(answer["status"].get("allowed"))

    async def _approve(self, found: Object, message: str) -> None:
        said = {"type": APPROVED, "status": "True", "reason": "AutoApproved", "message": message}
        conditions = [*(at(found, "status", "conditions") or ()), said]
        try:
            await self._requests.update(
                {**found, "status": {**found["status"], "conditions": conditions}}, subresource="approval"
            )
        except NotFound:
            return


def recognized(found: Object, asked: x509.CertificateSigningRequest) -> list[str]:
    """What the request is: subresources of certificatesigningrequests, the narrower first. Empty: nothing for us."""
    from kybern.controllers.signers import accept_kubelet_client

    spec = found["spec"]
    if spec["signerName"] != KUBELET_CLIENT:
        return []
    try:
        accept_kubelet_client(asked, spec["usages"])
    except ValueError:
        return []
    own = spec.get("username") == requests.common_name(asked.subject)
    return ["selfnodeclient", "nodeclient"] if own else ["nodeclient"]
