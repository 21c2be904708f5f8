"""An OpenID provider as others see it: what it says of itself, and the keys that it signs with.

Source: OpenID Connect Discovery 1.0; RFC 7517 JSON Web Key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from kybern.api.errors import APIError
from kybern.client.transport import HTTPTransport
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError

WELL_KNOWN = "/.well-known/openid-configuration"
EVERY = 10.0
"""Seconds between two attempts to reach a provider."""
AGAIN = 1.0
"""Seconds after which the keys may be asked for anew, for a token that names one that isn't known."""
SECONDS = 30.0

log = logging.getLogger(__name__)


class ProviderError(Exception):
    """The provider didn't say what it should have."""


class Fetch:
    """GETs over TLS, with connections that are kept. `ca` is PEM text; "" for what the system trusts."""

    def __init__(self, ca: str = "") -> None:
        try:
            self._tls = ssl.create_default_context(cadata=ca or None)
        except ssl.SSLError as error:
            raise OperatorError(f"the certificate authority of an issuer can't be used: {error}") from error
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self._transports: dict[str, HTTPTransport] = {}

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body. Raises ProviderError."""
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
        transport = self._transports.get(base)
        if transport is None:
            tls = self._tls if parts.scheme == "https" else None
            transport = self._transports[base] = HTTPTransport(base, tls=tls, timeout=SECONDS, quiet=True)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            answer = await transport.send("GET", target, {"Accept": "application/json", **(headers or {})}, None)
        except APIError as error:
            raise ProviderError(f'Get "{url}": {error.message}') from error
        if not 200 <= answer.status < 300:
            raise ProviderError(f'Get "{url}": status {answer.status}')
        return answer.body

    async def json(self, url: str) -> dict[str, Any]:
        """The body's object. Raises ProviderError."""
        try:
            found = orjson.loads(await self.get(url))
        except orjson.JSONDecodeError as error:
            raise ProviderError(f'Get "{url}": no JSON: {error}') from error
        if not isinstance(found, dict):
            raise ProviderError(f'Get "{url}": no JSON object')
        return found

    async def close(self) -> None:
        """Close what is open."""
        for transport in self._transports.values():
            await transport.close()


class Provider:
    """One issuer. It may be out of reach at first, as one that runs in the cluster itself is."""

    def __init__(self, issuer: str, fetch: Fetch, discovery_url: str = "") -> None:
        self.issuer = issuer
        self.ready = asyncio.Event()
        """Once it is known where the keys are."""
        self._fetch = fetch
        self._discovery_url = discovery_url or issuer.removesuffix("/") + WELL_KNOWN
        self._jwks_uri = ""
        self._keys: list[tuple[str, Any]] = []
        self._fetched = 0.0
        self._fetching: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Find out where the keys are, however long that takes."""
        self._task = asyncio.ensure_future(self._discover())

    async def stop(self) -> None:
        """Find out no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def keys(self, kid: str) -> list[Any]:
        """The keys of that id, all for "". Keys that aren't known are asked for. Raises ProviderError."""
        found = [key for name, key in self._keys if not kid or name == kid]
        if found:
            return found
        if self._fetching is None and (not self._keys or monotonic() - self._fetched >= AGAIN):
            self._fetching = asyncio.ensure_future(self._refresh())
        if self._fetching is not None:
            await asyncio.shield(self._fetching)
        return [key for name, key in self._keys if not kid or name == kid]

    async def _refresh(self) -> None:
        try:
            document = await self._fetch.json(self._jwks_uri)
            self._fetched = monotonic()
            self._keys = [found for one in document.get("keys") or () if (found := _key(one)) is not None]
        finally:
            self._fetching = None

    async def _discover(self) -> None:
        while True:
            try:
                document = await self._fetch.json(self._discovery_url)
                if document.get("issuer") != self.issuer:
                    raise ProviderError(
                        "oidc: issuer did not match the issuer returned by provider, expected "
                        f'"{self.issuer}" got "{document.get("issuer")}"'
                    )
                if not isinstance(document.get("jwks_uri"), str):
                    raise ProviderError(f"{self._discovery_url} has no jwks_uri")
            except ProviderError as error:
                log.error("initializing the issuer %s: %s", self.issuer, error)
            else:
                self._jwks_uri = document["jwks_uri"]
                self.ready.set()
                return
            await asyncio.sleep(EVERY)


def _key(document: Any) -> tuple[str, Any] | None:
    """Id and key; None for what doesn't sign, or not in a way that is known here."""
    import jwt

    if not isinstance(document, dict) or document.get("use", "sig") != "sig":
        return None
    try:
        return str(document.get("kid") or ""), jwt.PyJWK(document).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
