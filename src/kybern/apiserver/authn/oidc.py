"""Tokens of other issuers: OpenID Connect's ID tokens, verified with the keys that the issuer publishes.

Source: Kubernetes documentation, "OpenID Connect Tokens"; KEP-3331 Structured Authentication Configuration.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from kybern.api.types import Object
from kybern.apiserver import auth_metrics
from kybern.apiserver.authn.base import SIGNATURE_ONLY, BadToken, Known, agnostic
from kybern.apiserver.authn.claims import ClaimMappings
from kybern.apiserver.authn.oidcprovider import Fetch, Provider, ProviderError
from kybern.process.clock import clock, format_time, monotonic

ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512")
LEEWAY = 300.0
"""Seconds that a token's beginning may lie ahead."""
_GOOGLE = "accounts.google.com"


@dataclass(slots=True, frozen=True)
class IssuerOptions:
    """One issuer and what its tokens mean. `ca` is PEM text."""

    url: str
    audiences: tuple[str, ...]
    mappings: ClaimMappings
    discovery_url: str = ""
    ca: str = ""
    algorithms: tuple[str, ...] = ALGORITHMS


class JWTAuthenticator:
    """Verifies the tokens of one issuer."""

    def __init__(self, options: IssuerOptions, audiences: Collection[str]) -> None:
        self.options, self._audiences = options, tuple(audiences)
        self._fetch = Fetch(options.ca)
        self.provider = Provider(options.url, self._fetch, options.discovery_url)
        self._others: dict[str, Provider] = {}
        """Issuers of distributed claims."""
        self._hash = "sha256:" + hashlib.sha256(options.url.encode()).hexdigest()

    def start(self) -> None:
        """Look for the issuer."""
        self.provider.start()

    async def stop(self) -> None:
        """Let go of it."""
        for provider in (self.provider, *self._others.values()):
            await provider.stop()
        await self._fetch.close()

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        """Of a token that says it is this issuer's."""
        began = monotonic()
        try:
            claims = await self._verified(self.provider, token)
            await self._expand(claims)
            user = self.options.mappings.user(claims)
        except BadToken:
            auth_metrics.jwt_time.observe(monotonic() - began, "failure", self._hash)
            raise
        auth_metrics.jwt_time.observe(monotonic() - began, "success", self._hash)
        return agnostic(user, self._audiences, audiences)

    async def _verified(self, provider: Provider, token: str) -> Object:
        """The claims of a token that the provider signed, for one of our audiences, now. Raises BadToken."""
        if not provider.ready.is_set():
            raise BadToken("oidc: authenticator not initialized")
        claims = await self._signed(provider, token)
        if _issuer(claims) != provider.issuer:
            raise BadToken(f'oidc: id token issued by a different provider, expected "{provider.issuer}"')
        held = claims.get("aud")
        held = [held] if isinstance(held, str) else held if isinstance(held, list) else []
        if not set(self.options.audiences) & set(map(str, held)):
            wanted = sorted(self.options.audiences)
            raise BadToken(f"oidc: verify token: oidc: expected audience in {_quoted(wanted)} got {_quoted(held)}")
        now, end, start = clock.time(), _number(claims, "exp"), _number(claims, "nbf")
        if end is None or end < now:
            shown = format_time(end or 0)
            raise BadToken(f"oidc: verify token: oidc: token is expired (Token Expiry: {shown})")
        if start is not None and start > now + LEEWAY:
            raise BadToken("oidc: verify token: oidc: current time is before the nbf (not before) time")
        return claims

    async def _signed(self, provider: Provider, token: str) -> Object:
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg", "")
            if algorithm not in self.options.algorithms:
                expected = " ".join(f'"{one}"' for one in self.options.algorithms)
                raise BadToken(
                    "oidc: verify token: oidc: id token signed with unsupported algorithm, expected "
                    f'[{expected}] got "{algorithm}"'
                )
            keys = await provider.keys(str(header.get("kid") or ""))
        except ProviderError as error:
            raise BadToken(f"oidc: verify token: fetching keys {error}") from error
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise BadToken(f"oidc: verify token: oidc: malformed jwt: {error}") from error
        for key in keys:
            try:
                found: Object = jwt.decode(token, key, algorithms=[algorithm], options=SIGNATURE_ONLY)  # type: ignore[arg-type]
            except (jwt.PyJWTError, TypeError, ValueError):
                continue
            return found
        raise BadToken("oidc: verify token: failed to verify signature: failed to verify id token signature")

    async def _expand(self, claims: Object) -> None:
        """Fetch the groups where the token only says who knows them (OpenID Connect Core 1.0, 5.6.2)."""
        claim, names = self.options.mappings.groups.claim, claims.get("_claim_names")
        if not claim or claim in claims or not isinstance(names, dict) or claim not in names:
            return
        sources = claims.get("_claim_sources")
        source = sources.get(names[claim]) if isinstance(sources, dict) else None
        if not isinstance(source, dict):
            raise BadToken("oidc: could not expand distributed claims: oidc: no claim sources")
        endpoint = source.get("endpoint")
        if not isinstance(endpoint, str) or not endpoint.startswith("https://"):
            return
        access = source.get("access_token")
        headers = {"Authorization": f"Bearer {access}"} if access else {}
        try:
            token = (await self._fetch.get(endpoint, headers)).decode().strip()
        except (ProviderError, UnicodeDecodeError) as error:
            why = f'while getting distributed claim "{claim}": {error}'
            raise BadToken(f"oidc: could not expand distributed claims: {why}") from error
        found = await self._verified(self._other(unverified_issuer(token)), token)
        if claim not in found:
            why = f'jwt returned by distributed claim endpoint "{endpoint}" did not contain claim: {claim}'
            raise BadToken(f"oidc: could not expand distributed claims: {why}")
        claims[claim] = found[claim]

    def _other(self, issuer: str) -> Provider:
        if issuer == self.options.url:
            return self.provider
        provider = self._others.get(issuer)
        if provider is None:
            provider = self._others[issuer] = Provider(issuer, self._fetch)
            provider.start()
        return provider


class Issuers:
    """The authenticators of several issuers: a token is asked only of the one that it names."""

    def __init__(self, issuers: Sequence[IssuerOptions], audiences: Collection[str]) -> None:
        self._by_url = {options.url: JWTAuthenticator(options, audiences) for options in issuers}

    def start(self) -> None:
        """Look for all of them."""
        for one in self._by_url.values():
            one.start()

    async def stop(self) -> None:
        """Let go of them."""
        for one in self._by_url.values():
            await one.stop()

    async def ready(self) -> None:
        """Return once all have been found."""
        await asyncio.gather(*(one.provider.ready.wait() for one in self._by_url.values()))

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        found = self._by_url.get(unverified_issuer(token))
        return await found.user(token, audiences) if found is not None else None


def unverified_issuer(token: str) -> str:
    """Who says to have made the token; "" if it is none that can be read."""
    import jwt

    try:
        return _issuer(jwt.decode(token, options={"verify_signature": False}))
    except (jwt.PyJWTError, ValueError, RecursionError):
        return ""


def _issuer(claims: Object) -> str:
    found = claims.get("iss")
    return f"https://{found}" if found == _GOOGLE else found if isinstance(found, str) else ""


def _number(claims: Object, name: str) -> float | None:
    found: Any = claims.get(name)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _quoted(names: Collection[Any]) -> str:
    return "[" + " ".join(f'"{name}"' for name in names) + "]"
