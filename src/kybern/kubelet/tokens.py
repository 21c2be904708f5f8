"""Service account tokens for pods: asked for through the TokenRequest API, renewed well before they expire.

Source: KEP-1205 (bound service account tokens).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from kybern.api.errors import APIError, NotFound
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.process.clock import clock, parse_time, random

log = logging.getLogger(__name__)

_MAX_AGE = 24 * 3600.0
_RENEW_AT = 0.8
"""The part of a token's life after which a new one is asked for."""


@dataclass(slots=True)
class _Kept:
    token: str
    renew_at: float
    expires: float


class Tokens:
    """A `TokenSource` over the API."""

    def __init__(self, client: Client) -> None:
        self._accounts = client.resource("v1", "serviceaccounts")
        self._kept: dict[tuple[str, str, int], _Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def token(self, pod: Object, audience: str, expiration_seconds: int) -> str:
        """A token bound to the pod. `audience` "" is the API server's own. Raises APIError, unless an older token
        is still valid."""
        key = (pod["metadata"]["uid"], audience, expiration_seconds)
        async with self._locks.setdefault(key[0], asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is None or clock.time() >= kept.renew_at:
                try:
                    kept = self._kept[key] = await self._ask(pod, audience, expiration_seconds)
                except APIError as error:
                    if kept is None or clock.time() >= kept.expires:
                        raise
                    log.info("token of pod %s not renewed yet: %s", key[0], error)
        return kept.token

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] != uid}
        self._locks.pop(uid, None)

    async def _ask(self, pod: Object, audience: str, expiration_seconds: int) -> _Kept:
        meta = pod["metadata"]
        body: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": expiration_seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
            },
        }
        account = pod["spec"].get("serviceAccountName") or "default"
        answer = await self._accounts.post(account, "token", body, meta["namespace"])
        now, expires = clock.time(), parse_time(answer["status"]["expirationTimestamp"])
        life = min((expires - now) * _RENEW_AT, _MAX_AGE)
        return _Kept(answer["status"]["token"], now + life - random.uniform(0, min(life / 10, 10)), expires)


class NoTokens:
    """A `TokenSource` for a kubelet without an API server."""

    async def token(self, pod: Object, audience: str, expiration_seconds: int) -> str:
        raise NotFound.of("serviceaccounts", "", pod["spec"].get("serviceAccountName") or "default")
