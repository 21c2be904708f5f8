"""Signs approved certificate signing requests that are for a signer of kubernetes.io."""

from __future__ import annotations

from datetime import timedelta

from kybern.api.cells import at
from kybern.api.certificates import requests
from kybern.api.certificates.certificatesigningrequest import APPROVED, DENIED, FAILED, condition
from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.client.controller import Failure
from kybern.controllers.controller import Context, Controller
from kybern.controllers.options import Options
from kybern.process.clock import clock

API_VERSION = "certificates.k8s.io/v1"


class SigningController(Controller):
    name = "certificatesigningrequest-signing-controller"
    aliases = ("csrsigning",)

    @classmethod
    def wanted(cls, options: Options) -> bool:
        return bool(options.cluster_signing)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.requests = self.informer(API_VERSION, "certificatesigningrequests", namespaced=False)
        self._requests = self.client.resource(API_VERSION, "certificatesigningrequests", namespaced=False)
        self.watch(self.requests, lambda obj: [obj["metadata"]["name"]])

    async def reconcile(self, key: str) -> float | None:
        found = self.requests.get(key)
        files = self.options.cluster_signing.get(at(found, "spec", "signerName") or "")
        if found is None or files is None or not to_be_signed(found):
            return None
        try:
            await self._requests.update_status({**found, "status": self._signed(found, *files)})
        except NotFound:
            return None
        return None

    def _signed(self, found: Object, certificate_file: str, key_file: str) -> Object:
        """The status with a certificate, or with why there is none. Raises Failure."""
        from kybern.controllers import signers  # with a large library, which most clusters need in their first minutes

        spec, status = found["spec"], found["status"]
        usages = spec["usages"]
        try:
            asked = requests.verified(spec["request"])
            try:
                signers.SIGNERS[spec["signerName"]](asked, usages)
            except ValueError as error:
                return _failed(status, str(error))
            # Read each time: who replaces the files need not restart anything.
            authority = signers.Authority.read(certificate_file, key_file)
            lasting = signers.life(
                spec.get("expirationSeconds"), timedelta(seconds=self.options.cluster_signing_duration)
            )
            pem = signers.issue(authority, asked, usages, lasting, clock.now())
        except (OSError, ValueError) as error:
            raise Failure(f"can't sign: {error}") from error
        return {**status, "certificate": requests.encoded(pem)}


def to_be_signed(found: Object) -> bool:
    """Whether it is approved and waits for its certificate."""
    refused = condition(found, DENIED) or condition(found, FAILED)
    return bool(condition(found, APPROVED)) and not refused and not found["status"].get("certificate")


def _failed(status: Object, why: str) -> Object:
    said = {
        "type": FAILED,
        "status": "True",
        "reason": "SignerValidationFailure",
        "message": why,
        "lastUpdateTime": clock.stamp(),
    }
    return {**status, "conditions": [*status["conditions"], said]}
