"""Service account tokens: the signature is checked once per token, what it is bound to at every request.

Source: KEP-1205 Bound service account tokens.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jwt

from kybern.api.errors import Unauthorized
from kybern.api.types import Object
from kybern.apiserver.authn.base import CREDENTIAL_ID, authenticated
from kybern.apiserver.registry import Lister
from kybern.apiserver.request import UserInfo
from kybern.apiserver.tokens import ALGORITHMS, KeySet
from kybern.process.clock import clock, parse_time

_DELETION_LEEWAY = 60
"""Seconds that tokens outlive the deletion time of what they are bound to, for a graceful end."""
_MAX_CACHED = 8192
_POD = "authentication.kubernetes.io/pod-"
_NODE = "authentication.kubernetes.io/node-"


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


class ServiceAccountTokens:
    """Verifies with the public keys; looks bound objects up in listers of serviceaccounts, pods, secrets and nodes."""

    def __init__(
        self, keys: KeySet, issuers: Collection[str], audiences: Collection[str], listers: dict[str, Lister]
    ) -> None:
        self._keys, self._issuers, self._audiences = keys, frozenset(issuers), tuple(audiences)
        self._listers = listers
        self._known: dict[str, _Verified] = {}

    def user(self, token: str, audiences: Collection[str] = ()) -> tuple[UserInfo, tuple[str, ...]] | None:
        verified = self._known.get(token)
        if verified is None:
            verified = self._verify(token)
            if verified is None:
                return None
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            self._known[token] = verified
        now = clock.time()
        if not verified.start <= now < verified.end:
            self._known.pop(token, None)
            raise Unauthorized
        for plural, namespace, name, uid in verified.bound:
            if not _there(self._listers[plural].get(namespace, name), uid, now):
                raise Unauthorized
        good = tuple(a for a in audiences or self._audiences if a in verified.audiences)
        if not good:
            raise Unauthorized
        return verified.user, good

    def _verify(self, token: str) -> _Verified | None:
        """None where another issuer made the token. Raises Unauthorized where ours can't have."""
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
            if claims.get("iss") not in self._issuers:
                return None
            header = jwt.get_unverified_header(token)
            key = self._keys.public(header.get("kid", ""))
            if key is None:
                raise Unauthorized
            unchecked = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
            claims = jwt.decode(token, key, algorithms=ALGORITHMS, options=unchecked)  # type: ignore[arg-type]
            return _read(claims)
        except jwt.InvalidSignatureError:
            raise Unauthorized from None
        except jwt.DecodeError:
            return None
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            raise Unauthorized from None


def _read(claims: dict[str, Any]) -> _Verified:
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
        if field != "node" or "pod" not in private:
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
    )


def _there(obj: Object | None, uid: str, now: float) -> bool:
    if obj is None or obj["metadata"]["uid"] != uid:
        return False
    deleted = obj["metadata"].get("deletionTimestamp")
    return not deleted or now <= parse_time(deleted) + _DELETION_LEEWAY
