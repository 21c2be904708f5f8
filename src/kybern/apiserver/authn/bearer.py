"""Bearer tokens: from the Authorization header, or from the WebSocket subprotocol that browsers use."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Sequence

from kybern.api.errors import Unauthorized
from kybern.apiserver.authn.base import TokenAuthenticator
from kybern.apiserver.request import Request, UserInfo

_SUBPROTOCOL = "base64url.bearer.authorization.k8s.io."


class Bearer:
    """Asks each token authenticator; a token that nobody knows is refused, not taken for anonymous."""

    def __init__(self, authenticators: Sequence[TokenAuthenticator]) -> None:
        self.authenticators = tuple(authenticators)

    async def authenticate(self, request: Request) -> UserInfo | None:
        token = bearer_token(request)
        if not token:
            return None
        found = self.user(token)
        if found is None:
            raise Unauthorized
        return found[0]

    def user(self, token: str, audiences: Collection[str] = ()) -> tuple[UserInfo, tuple[str, ...]] | None:
        """The token's user and audiences; None if nobody knows the token."""
        for authenticator in self.authenticators:
            found = authenticator.user(token, audiences)
            if found is not None:
                return found
        return None


def bearer_token(request: Request) -> str:
    """The request's token, or ""."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if token and scheme.lower() == "bearer":
        return token.strip()
    protocols = request.headers.get("sec-websocket-protocol", "")
    if _SUBPROTOCOL in protocols:
        for protocol in protocols.split(","):
            encoded = protocol.strip().removeprefix(_SUBPROTOCOL)
            if encoded != protocol.strip():
                return _decoded(encoded)
    return ""


def _decoded(encoded: str) -> str:
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthorized from None
