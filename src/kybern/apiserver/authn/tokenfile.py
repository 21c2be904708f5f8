"""--token-auth-file: a CSV file of token, user name, user uid and, quoted, the groups."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from kybern.apiserver.authn.base import Known, agnostic, authenticated
from kybern.apiserver.request import UserInfo
from kybern.process.daemon import OperatorError


class TokenFile:
    """Static tokens; read once at start, as upstream does."""

    def __init__(self, users: dict[str, UserInfo], audiences: Collection[str] = ()) -> None:
        self._users = users
        self._audiences = tuple(audiences)

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        found = self._users.get(token)
        return agnostic(found, self._audiences, audiences) if found is not None else None


def read_token_file(path: Path) -> dict[str, UserInfo]:
    """token -> user. Raises OperatorError naming the line at fault."""
    users: dict[str, UserInfo] = {}
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            for number, row in enumerate(csv.reader(lines, skipinitialspace=True), start=1):
                if not row or row[0].startswith("#"):
                    continue
                if len(row) < 3:
                    raise OperatorError(
                        f"{path}, line {number}: needs token, user name and user uid, has {len(row)} columns"
                    )
                token, name, uid = row[:3]
                if not token:
                    raise OperatorError(f"{path}, line {number}: the token is empty")
                groups = [group.strip() for group in row[3].split(",") if group.strip()] if len(row) > 3 else []
                users[token] = authenticated(name, groups, uid)
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"cannot read --token-auth-file {path}: {error}") from error
    return users
