"""What authenticators share: the groups everyone has, why a token is refused, and token authenticators' contract."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from kybern.api.errors import Unauthorized
from kybern.apiserver.request import UserInfo

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
SIGNATURE_ONLY = {f"verify_{claim}": False for claim in ("aud", "exp", "iat", "iss", "jti", "nbf", "sub")}
"""What PyJWT is told where claims are looked at here."""
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


class Known(NamedTuple):
    """A token's user, and the audiences (of those asked for; default the server's) that it is good for."""

    user: UserInfo
    audiences: tuple[str, ...] = ()
    warning: str = ""
    """For a `Warning:` header."""
    annotations: Mapping[str, str] = {}
    """For the audit event."""


class BadToken(Unauthorized):
    """A token that is of a known kind and not valid. `why` is for the log and for TokenReviews, not for the client."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class TokenAuthenticator(Protocol):
    """One kind of bearer token."""

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        """Whose token it is; None if it is not this kind of token. Raises BadToken if it is and isn't valid."""
        ...


def authenticated(
    name: str, groups: Collection[str] = (), uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None
) -> UserInfo:
    """A user, with the group that every authenticated user has."""
    known = AUTHENTICATED in groups or UNAUTHENTICATED in groups
    return UserInfo(name, (*groups,) if known else (*groups, AUTHENTICATED), uid, extra or {})


def agnostic(user: UserInfo, own: Collection[str], asked: Collection[str]) -> Known | None:
    """For tokens that name no audience: good for the server's own; None if none of those is asked for."""
    good = tuple(audience for audience in asked if audience in own) if asked else tuple(own)
    return Known(user, good) if good or not asked else None
