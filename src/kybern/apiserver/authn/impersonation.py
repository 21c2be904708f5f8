"""Impersonation: acting as another user, where the roles allow the verb `impersonate`.

Source: Kubernetes documentation, "User impersonation".
"""

from __future__ import annotations

from urllib.parse import unquote

from kybern.api.errors import BadRequest
from kybern.apiserver.app import App
from kybern.apiserver.authn.base import AUTHENTICATED
from kybern.apiserver.authn.serviceaccount import groups as account_groups
from kybern.apiserver.authz.base import require
from kybern.apiserver.request import ANONYMOUS, Request, RequestInfo, UserInfo

_USER, _GROUP, _UID = "impersonate-user", "impersonate-group", "impersonate-uid"
_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"


def asked(request: Request) -> bool:
    """Whether the request carries impersonation headers."""
    return any(name.startswith("impersonate-") for name in request.headers)


async def impersonate(app: App, request: Request) -> None:
    """Make request.user the one asked for. Raises Forbidden; BadRequest where no user is named."""
    headers = request.headers
    name, uid = headers.get(_USER, ""), headers.get(_UID, "")
    # Repeated headers arrive joined by commas.
    groups = tuple(group.strip() for group in headers.get(_GROUP, "").split(",") if group.strip())
    extra = {
        unquote(header[len(_EXTRA) :]): tuple(value.strip() for value in values.split(","))
        for header, values in headers.items()
        if header.startswith(_EXTRA)
    }
    if not name:
        if groups or uid or extra:
            raise BadRequest(f"requested {[*groups, uid, *extra]} without impersonating a user")
        return
    path, caller = request.path, request.user
    for target in _targets(path, name, groups, uid, extra):
        await require(app, caller, target)
    request.user = UserInfo(name, _with_defaults(name, groups), uid, extra)


def _targets(
    path: str, name: str, groups: tuple[str, ...], uid: str, extra: dict[str, tuple[str, ...]]
) -> list[RequestInfo]:
    """What the caller must be allowed to impersonate."""

    def target(resource: str, name: str, group: str = "", namespace: str = "", sub: str = "") -> RequestInfo:
        version = "v1"
        return RequestInfo("impersonate", path, True, group, version, resource, sub, namespace, name)

    account = _account(name)
    found = [target("serviceaccounts", account[1], namespace=account[0]) if account else target("users", name)]
    found += [target("groups", group) for group in groups]
    if uid:
        found.append(target("uids", uid, _AUTHENTICATION))
    for key, values in extra.items():
        found += [target("userextras", value, _AUTHENTICATION, sub=key) for value in values]
    return found


def _account(name: str) -> tuple[str, str] | None:
    """(namespace, name) if the user is a service account."""
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    return (namespace, account) if name.startswith(_ACCOUNT) and namespace and account else None


def _with_defaults(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    account = _account(name)
    if account and not groups:
        groups = account_groups(account[0])
    everyone = "system:unauthenticated" if name == ANONYMOUS.name else AUTHENTICATED
    return groups if {AUTHENTICATED, "system:unauthenticated"} & set(groups) else (*groups, everyone)
