"""Remembers for a while whose a token is, where finding out takes another server or much arithmetic."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Collection

from kybern.apiserver import auth_metrics
from kybern.apiserver.authn.base import BadToken, Known, TokenAuthenticator
from kybern.process.clock import monotonic

_MAX_CACHED = 8192

Key = bytes


class TokenCache:
    """Known tokens are remembered for `known` seconds, unknown ones for `unknown`; whatever failed is tried again.
    Of many requests with one token at a time, one asks and the others wait for it."""

    def __init__(self, inner: TokenAuthenticator, known: float, unknown: float = 0.0) -> None:
        self._inner, self._known, self._unknown = inner, known, unknown
        self._found: dict[Key, tuple[float, Known | None]] = {}
        self._asking: dict[Key, asyncio.Future[Known | None]] = {}
        # Tokens themselves aren't kept in memory.
        self._secret = os.urandom(32)

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        text = "\x00".join((token, *audiences)).encode("utf-8", "surrogatepass")
        key = hmac.digest(self._secret, text, hashlib.sha256)
        held = self._found.get(key)
        if held is not None and monotonic() < held[0]:
            auth_metrics.token_cache["hit"] += 1
            return held[1]
        auth_metrics.token_cache["miss"] += 1
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.ensure_future(self._ask(key, token, audiences))
            # Nobody may be left to hear of a failure.
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        # One who gives up doesn't take the answer away from the others.
        return await asyncio.shield(asking)

    async def _ask(self, key: Key, token: str, audiences: Collection[str]) -> Known | None:
        try:
            found = await self._inner.user(token, audiences)
        except BadToken:
            auth_metrics.token_fetches["error"] += 1
            raise
        finally:
            del self._asking[key]
        auth_metrics.token_fetches["ok"] += 1
        life = self._known if found is not None else self._unknown
        if life > 0:
            if len(self._found) >= _MAX_CACHED:
                self._found.clear()
            self._found[key] = (monotonic() + life, found)
        return found
