"""--enable-bootstrap-token-auth: tokens that joining nodes show, kept as Secrets in kube-system.

Source: Kubernetes documentation, "Authenticating with Bootstrap Tokens".
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Collection

from kybern.api import bootstraptokens as tokens
from kybern.api.types import Object
from kybern.apiserver.authn.base import Known, agnostic, authenticated
from kybern.apiserver.registry import Lister
from kybern.process.clock import clock

log = logging.getLogger(__name__)


class BootstrapTokens:
    """Looks every token up in the lister of secrets. One that is expired or not meant for this is nobody's."""

    def __init__(self, secrets: Lister, audiences: Collection[str] = ()) -> None:
        self._secrets = secrets
        self._audiences = tuple(audiences)

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        parts = tokens.split(token)
        if parts is None:
            return None
        secret = self._secrets.get(tokens.NAMESPACE, f"{tokens.SECRET_PREFIX}{parts[0]}")
        if secret is None:
            return None
        wrong = _wrong(secret, *parts)
        if wrong:
            log.info("bootstrap token %s is not accepted: %s", parts[0], wrong)
            return None
        try:
            groups = tokens.groups(secret)
        except ValueError as error:
            log.info("bootstrap token %s is not accepted: %s", parts[0], error)
            return None
        return agnostic(authenticated(f"{tokens.USER_PREFIX}{parts[0]}", groups), self._audiences, audiences)


def _wrong(secret: Object, token_id: str, token_secret: str) -> str:
    """Why the Secret doesn't vouch for the token; "" if it does."""
    if secret["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    if secret.get("type") != tokens.SECRET_TYPE:
        return f"its Secret is not of type {tokens.SECRET_TYPE}"
    if not hmac.compare_digest(tokens.value(secret, tokens.TOKEN_SECRET).encode(), token_secret.encode()):
        return f"the {tokens.TOKEN_SECRET} differs"
    if tokens.value(secret, tokens.TOKEN_ID) != token_id:
        return f"the {tokens.TOKEN_ID} differs"
    if tokens.remaining(secret, clock.time()) == 0:
        return "it has expired"
    if not tokens.is_for(secret, tokens.AUTHENTICATION):
        return "it is not for authentication"
    return ""
