"""Service account tokens: the signature is checked once per token, what it is bound to at every request.

Source: KEP-1205 Bound service account tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kybern.api.types import Object
from kybern.apiserver import auth_metrics
from kybern.apiserver.authn.base import CREDENTIAL_ID, SIGNATURE_ONLY, BadToken, Known, authenticated
from kybern.apiserver.registry import Lister
from kybern.apiserver.request import UserInfo
from kybern.apiserver.tokens import ALGORITHMS, KeySet
from kybern.process.clock import clock, parse_time

_DELETION_LEEWAY = 60
"""Seconds that tokens outlive the deletion time of what they are bound to, for a graceful end."""
_MAX_CACHED = 8192
_POD = "authentication.kubernetes.io/pod-"
_NODE = "authentication.kubernetes.io/node-"
_STALE = "authentication.k8s.io/stale-token"
INVALIDATED = "service account token has been invalidated"


def username(namespace: str, name: str) -> str:
    """`system:serviceaccount:default:builder`."""
    return f"system:serviceaccount:{namespace}:{name}"


def groups(namespace: str) -> tuple[str, str]:
    """The groups of every service account in the namespace."""
    return "system:serviceaccounts", f"system:serviceaccounts:{namespace}"


@dataclass(slots=True, frozen=True)
class _Verified:
    """A token whose signature is good."""

    user: UserInfo
    audiences: frozenset[str]
    start: float
    end: float
    bound: tuple[tuple[str, str, str, str], ...]
    """(plural, namespace, name, uid) of the objects that must still be there."""
    warn_after: float


class ServiceAccountTokens:
    """Verifies with the public keys; looks bound objects up in listers of serviceaccounts, pods, secrets and nodes."""

    def __init__(
        self, keys: KeySet, issuers: Collection[str], audiences: Collection[str], listers: Mapping[str, Lister]
    ) -> None:
        self._keys, self._issuers, self._audiences = keys, frozenset(issuers), tuple(audiences)
        self._listers = listers
        self._known: dict[str, _Verified] = {}

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        verified = self._known.get(token)
        if verified is None:
            await self._keys.seek(token)
            claims = verified_claims(token, self._issuers, self._keys)
            if claims is None:
                return None
            verified = _read(claims)
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            self._known[token] = verified
        now = clock.time()
        if now >= verified.end:
            self._known.pop(token, None)
            raise BadToken("service account token has expired")
        if now < verified.start:
            raise BadToken("service account token is not valid yet")
        good = tuple(a for a in audiences or self._audiences if a in verified.audiences)
        if not good:
            held, wanted = sorted(verified.audiences), list(audiences or self._audiences)
            raise BadToken(f"token audiences {_quoted(held)} is invalid for the target audiences {_quoted(wanted)}")
        for plural, namespace, name, uid in verified.bound:
            if not is_there(self._listers[plural].get(namespace, name), uid, now):
                raise BadToken(INVALIDATED)
        if not verified.warn_after:
            return Known(verified.user, good)
        if now <= verified.warn_after:
            auth_metrics.valid_tokens[""] += 1
            return Known(verified.user, good)
        auth_metrics.stale_tokens[""] += 1
        late = f"subject: {verified.user.name}, seconds after warning threshold: {int(now - verified.warn_after)}"
        return Known(verified.user, good, annotations={_STALE: late})


def verified_claims(token: str, issuers: Collection[str], keys: KeySet) -> dict[str, Any] | None:
    """The claims of a token that one of the issuers made; None where another did. Raises BadToken where the
    signature is not by one of the keys."""
    import jwt

    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        if claims.get("iss") not in issuers:
            return None
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return None
    for key in keys.candidates(str(header.get("kid") or "")):
        try:
            claims = jwt.decode(token, key, algorithms=ALGORITHMS, options=SIGNATURE_ONLY)  # type: ignore[arg-type]
        except (jwt.InvalidTokenError, TypeError, ValueError):
            continue
        return claims
    raise BadToken("invalid signature")


def _read(claims: dict[str, Any]) -> _Verified:
    try:
        return _verified(claims)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadToken("service account token claims could not be validated") from error


def _verified(claims: dict[str, Any]) -> _Verified:
    private = claims["kubernetes.io"]
    namespace, account = private["namespace"], private["serviceaccount"]
    if claims["sub"] != username(namespace, account["name"]):
        raise ValueError("the subject is not the service account")
    bound = [("serviceaccounts", namespace, account["name"], account["uid"])]
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti"):
        extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
    for field, plural, where, label in (
        ("pod", "pods", namespace, _POD),
        ("secret", "secrets", namespace, ""),
        ("node", "nodes", "", _NODE),
    ):
        ref = private.get(field)
        if not ref:
            continue
        # A pod's token names its node only to tell; a token bound to the node itself dies with it.
        if field != "node" or not private.get("pod"):
            bound.append((plural, where, ref["name"], ref["uid"]))
        if label:
            extra[f"{label}name"] = (ref["name"],)
            if ref.get("uid"):
                extra[f"{label}uid"] = (ref["uid"],)
    audiences = claims.get("aud", ())
    return _Verified(
        authenticated(claims["sub"], groups(namespace), account["uid"], extra),
        frozenset([audiences] if isinstance(audiences, str) else audiences),
        float(claims.get("nbf", 0)),
        float(claims["exp"]),
        tuple(bound),
        float(private.get("warnafter") or 0),
    )


def is_there(obj: Object | None, uid: str, now: float) -> bool:
    """Whether the object is the one with that uid, and not gone for longer than an orderly end takes."""
    if obj is None or obj["metadata"]["uid"] != uid:
        return False
    deleted = obj["metadata"].get("deletionTimestamp")
    return not deleted or now <= parse_time(deleted) + _DELETION_LEEWAY


def _quoted(names: Collection[str]) -> str:
    return "[" + " ".join(f'"{name}"' for name in names) + "]"
