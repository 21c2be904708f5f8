"""What authenticators share: the groups everyone has, and token authenticators' contract."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from kybern.apiserver.request import UserInfo

AUTHENTICATED = "system:authenticated"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


class TokenAuthenticator(Protocol):
    """One kind of bearer token."""

    def user(self, token: str, audiences: Collection[str] = ()) -> tuple[UserInfo, tuple[str, ...]] | None:
        """The token's user and the audiences (of those asked for; default the server's) it is good for; None if it is
        not this kind of token. Raises Unauthorized if it is and isn't valid."""
        ...


def authenticated(
    name: str, groups: Collection[str] = (), uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None
) -> UserInfo:
    """A user, with the group that every authenticated user has."""
    everyone = () if AUTHENTICATED in groups else (AUTHENTICATED,)
    return UserInfo(name, (*groups, *everyone), uid, extra or {})
