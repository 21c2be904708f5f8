"""Legacy service account tokens: without an end, kept in Secrets of type kubernetes.io/service-account-token.

The Secret is labelled with the day of its last use, so that tokens nobody needs are found.
Source: KEP-2799 Reduction of Secret-based Service Account Tokens.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from kybern.api.errors import APIError
from kybern.api.legacytokens import CLAIM, INVALID_SINCE, ISSUER, LAST_USED, is_automatic
from kybern.api.types import Object
from kybern.apiserver import auth_metrics
from kybern.apiserver.authn.base import BadToken, Known, agnostic, authenticated
from kybern.apiserver.authn.serviceaccount import groups, username, verified_claims
from kybern.apiserver.registry import Lister
from kybern.apiserver.tokens import KeySet
from kybern.process.clock import clock

_ANNOTATION = "authentication.k8s.io/legacy-token"
_INSTEAD = "Use tokens from the TokenRequest API or manually created secret-based tokens"
_MAX_CACHED = 2048

log = logging.getLogger(__name__)

Relabel = Callable[[str, str, str], Awaitable[None]]
"""Sets the label of the last use: namespace and name of the Secret, day."""


class LegacyTokens:
    """Verifies with the public keys and, unless without `lookup`, compares with the Secret at every request."""

    def __init__(
        self,
        keys: KeySet,
        audiences: Collection[str],
        listers: Mapping[str, Lister],
        relabel: Relabel,
        *,
        lookup: bool = True,
    ) -> None:
        self._keys, self._audiences = keys, tuple(audiences)
        self._accounts, self._secrets = listers["serviceaccounts"], listers["secrets"]
        self._relabel, self._lookup = relabel, lookup
        self._known: dict[str, tuple[str, str, str, str]] = {}
        """token -> namespace, secret, account, the account's uid."""
        self._labelling: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        claims = self._known.get(token)
        if claims is None:
            found = verified_claims(token, (ISSUER,), self._keys)
            if found is None:
                return None
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            claims = self._known[token] = _read(found)
        namespace, secret_name, name, uid = claims
        if not self._lookup:
            unseen = authenticated(username(namespace, name), groups(namespace), uid)
            return agnostic(unseen, self._audiences, audiences)
        secret = self._secret(namespace, secret_name, token)
        account = self._account(namespace, name, uid)
        automatic = is_automatic(account, secret_name)
        labels = secret["metadata"].get("labels") or {}
        if labels.get(INVALID_SINCE):
            raise BadToken(
                f"the token in secret {namespace}/{secret_name} for service account {namespace}/{name} has been marked "
                f"invalid. {_INSTEAD}, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use "
                "of this token"
            )
        auth_metrics.legacy_tokens[""] += 1
        (auth_metrics.auto_tokens if automatic else auth_metrics.manual_tokens)[""] += 1
        today = clock.stamp()[:10]
        if labels.get(LAST_USED) != today:
            self._label(namespace, secret_name, today)
        user = authenticated(username(namespace, name), groups(namespace), uid)
        known = agnostic(user, self._audiences, audiences)
        if known is None:
            return None
        warning = f"{_INSTEAD} instead of auto-generated secret-based tokens." if automatic else ""
        return known._replace(warning=warning, annotations={_ANNOTATION: user.name})

    def _secret(self, namespace: str, name: str, token: str) -> Object:
        secret = self._secrets.get(namespace, name)
        if secret is None or secret["metadata"].get("deletionTimestamp"):
            raise BadToken("service account token has been invalidated")
        try:
            kept = base64.b64decode((secret.get("data") or {}).get("token") or "")
        except (binascii.Error, ValueError):
            kept = b""
        if not hmac.compare_digest(kept, token.encode("utf-8", "surrogatepass")):
            raise BadToken("service account token does not match server's copy")
        return secret

    def _account(self, namespace: str, name: str, uid: str) -> Object:
        account = self._accounts.get(namespace, name)
        if account is None or account["metadata"].get("deletionTimestamp"):
            raise BadToken(f"service account {namespace}/{name} has been deleted")
        if account["metadata"]["uid"] != uid:
            raise BadToken(f"service account UID ({account['metadata']['uid']}) does not match claim ({uid})")
        return account

    def _label(self, namespace: str, name: str, day: str) -> None:
        """Label in the background: no request waits for it, and none does it twice."""
        key = (namespace, name)
        if key in self._labelling:
            return

        async def label() -> None:
            try:
                await self._relabel(namespace, name, day)
            except APIError as error:
                log.warning("labelling the secret %s/%s as used: %s", namespace, name, error)
            finally:
                del self._labelling[key]

        self._labelling[key] = asyncio.ensure_future(label())


def _read(claims: dict[str, Any]) -> tuple[str, str, str, str]:
    found = [claims.get(CLAIM + name) for name in ("namespace", "secret.name", "service-account.name")]
    uid = claims.get(f"{CLAIM}service-account.uid")
    for value, what in zip([*found, uid], ("namespace", "secretName", "serviceAccountName", "serviceAccountUID"),
                           strict=True):  # fmt: skip
        if not value or not isinstance(value, str):
            raise BadToken(f"{what} claim is missing")
    namespace, secret, account = (str(value) for value in found)
    if claims.get("sub") != username(namespace, account):
        raise BadToken("sub claim is invalid")
    return namespace, secret, account, str(uid)
