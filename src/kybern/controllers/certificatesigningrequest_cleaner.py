"""Removes certificate signing requests that are done with, or that nobody has looked at for a day."""

from __future__ import annotations

import logging

from kybern.api.cells import at
from kybern.api.certificates import requests
from kybern.api.certificates.certificatesigningrequest import APPROVED, DENIED, FAILED
from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.controllers.certificatesigningrequest_signing import API_VERSION
from kybern.controllers.controller import Context, Controller
from kybern.process.clock import clock, parse_time

log = logging.getLogger(__name__)

DECIDED_SECONDS, PENDING_SECONDS = 3600.0, 86400.0
"""How long requests stay that are issued, denied or failed; and those without any condition."""


class CleanerController(Controller):
    name = "certificatesigningrequest-cleaner-controller"
    aliases = ("csrcleaner",)
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.requests = self.informer(API_VERSION, "certificatesigningrequests", namespaced=False)
        self._requests = self.client.resource(API_VERSION, "certificatesigningrequests", namespaced=False)
        self.watch(self.requests, lambda obj: [obj["metadata"]["name"]])

    async def reconcile(self, key: str) -> float | None:
        found = self.requests.get(key)
        if found is None:
            return None
        end = due(found)
        if end is None:
            return None
        if end > clock.time():
            return end - clock.time()
        log.info("removing certificate signing request %s, which is done with or was left alone", key)
        try:
            await self._requests.delete(key)
        except NotFound:
            return None
        return None


def due(found: Object) -> float | None:
    """When it is to be removed, in seconds since the epoch; None: not before it changes."""
    conditions, certificate = at(found, "status", "conditions") or [], at(found, "status", "certificate")
    if not conditions:
        return parse_time(found["metadata"]["creationTimestamp"]) + PENDING_SECONDS
    ends = [
        parse_time(one["lastUpdateTime"]) + DECIDED_SECONDS
        for one in conditions
        if one.get("lastUpdateTime") and (one["type"] in (DENIED, FAILED) or (one["type"] == APPROVED and certificate))
    ]
    if certificate and any(one["type"] == APPROVED for one in conditions):
        ends.append(_expiry(certificate))
    return min(ends, default=None)


def _expiry(certificate: str) -> float:
    from cryptography import x509

    first = next(requests.blocks(requests.decoded(certificate)))
    return x509.load_der_x509_certificate(first.data).not_valid_after_utc.timestamp()
