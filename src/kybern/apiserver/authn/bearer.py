"""Bearer tokens: from the Authorization header, or from the WebSocket subprotocol that browsers use."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Sequence

from kybern.apiserver.authn.base import BadToken, Known, TokenAuthenticator
from kybern.apiserver.request import Request, UserInfo

_SUBPROTOCOL = "base64url.bearer.authorization.k8s.io."
INVALID = "invalid bearer token"


class Bearer:
    """Asks each token authenticator; a token that nobody knows is refused, not taken for anonymous."""

    def __init__(self, authenticators: Sequence[TokenAuthenticator]) -> None:
        self.authenticators = tuple(authenticators)

    async def authenticate(self, request: Request) -> UserInfo | None:
        token = bearer_token(request)
        if not token:
            return None
        found = await self.user(token)
        if found is None:
            raise BadToken(INVALID)
        if found.warning:
            request.warnings.append(found.warning)
        if found.annotations:
            request.notes.update(found.annotations)
        return found.user

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        """The token's user and audiences; None if nobody knows the token. Raises BadToken with all that was said
        against it, where somebody knows it and nobody takes it."""
        why: list[str] = []
        for authenticator in self.authenticators:
            try:
                found = await authenticator.user(token, audiences)
            except BadToken as error:
                why.append(error.why)
                continue
            if found is not None:
                return found
        if why:
            raise BadToken(f"[{', '.join((INVALID, *why))}]")
        return None


def bearer_token(request: Request) -> str:
    """The request's token, or "". Raises BadToken."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if token and scheme.lower() == "bearer":
        # What follows a second space is no part of it.
        return token.split(" ")[0]
    protocols = request.headers.get("sec-websocket-protocol", "")
    return _from_protocols(protocols) if _SUBPROTOCOL in protocols else ""


def _from_protocols(protocols: str) -> str:
    """The token in the one subprotocol that carries it; another must be there for the server to choose."""
    offered = [protocol.strip() for protocol in protocols.split(",")]
    carrying = [protocol for protocol in offered if protocol.startswith(_SUBPROTOCOL)]
    if not carrying:
        return ""
    if len(carrying) > 1:
        raise BadToken("multiple base64.bearer.authorization tokens specified")
    if len(offered) == 1:
        raise BadToken("missing additional subprotocol")
    encoded = carrying[0].removeprefix(_SUBPROTOCOL)
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise BadToken("invalid base64.bearer.authorization token encoding") from None
