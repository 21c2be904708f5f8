"""Impersonation: acting as another user, where the authorizers allow it.

With the verb `impersonate` it is for everything; with `impersonate:<mode>` only for what `impersonate-on:<mode>:<verb>`
allows, which is tried first.
Source: Kubernetes documentation, "User impersonation" and "Constrained Impersonation" (KEP-5284).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote

from kybern.api import names
from kybern.api.errors import BadRequest
from kybern.apiserver.app import App
from kybern.apiserver.authn.base import AUTHENTICATED, UNAUTHENTICATED
from kybern.apiserver.authn.serviceaccount import groups as account_groups
from kybern.apiserver.authz.base import MASTERS, Union, require
from kybern.apiserver.request import ANONYMOUS, Request, RequestInfo, UserInfo

_PREFIX = "impersonate-"
_USER, _GROUP, _UID = "impersonate-user", "impersonate-group", "impersonate-uid"
_EXTRA = "impersonate-extra-"
_ACCOUNT, _NODE = "system:serviceaccount:", "system:node:"
_AUTHENTICATION = "authentication.k8s.io"
_NODE_NAME = "authentication.kubernetes.io/node-name"
_KEYS = "authentication.kubernetes.io/associated-node-keys"
MANY = 4
"""From so many groups or values on, all of them (`*`) are asked for first."""


def asked(request: Request) -> bool:
    """Whether the request carries impersonation headers."""
    return any(name.startswith(_PREFIX) for name in request.headers)


async def impersonate(app: App, request: Request) -> str:
    """Make request.user the one asked for; gives the verb that constrains it, "" where nothing does. Raises
    Forbidden; BadRequest where no user is named."""
    wanted = _wanted(request)
    if wanted is None:
        return ""
    for header in [name for name in request.headers if name.startswith(_PREFIX)]:
        # Nobody behind this server is to see that it isn't the user.
        del request.headers[header]
    caller = request.user
    for mode in _modes(wanted, caller):
        if await _constrained(app, request, wanted, mode):
            request.user = _as(wanted, fixed=True)
            return f"impersonate:{mode}"
    for target in _targets(wanted, "impersonate"):
        await require(app, caller, target)
    request.user = _as(wanted)
    return ""


def _wanted(request: Request) -> UserInfo | None:
    """Who is asked for, as the headers have it; None where nobody is. Raises BadRequest."""
    headers = request.headers
    name, uid = headers.get(_USER, ""), headers.get(_UID, "")
    groups = tuple(request.values(_GROUP))
    extra: dict[str, tuple[str, ...]] = {}
    for header in headers:
        if header.startswith(_EXTRA):
            key = unquote(header[len(_EXTRA) :])
            extra[key] = (*extra.get(key, ()), *request.values(header))
    if name:
        return UserInfo(name, groups, uid, extra)
    if groups or uid or extra:
        raise BadRequest(f"requested {[*groups, uid, *extra]} without impersonating a user")
    return None


def _modes(wanted: UserInfo, caller: UserInfo) -> Iterator[str]:
    """The constrained modes that are for such a user."""
    alone = not (wanted.groups or wanted.uid or wanted.extra)
    node = _node(wanted.name)
    if node:
        if alone and _account(caller.name) and caller.extra.get(_NODE_NAME) == (node,):
            yield "associated-node"
        if alone:
            yield "arbitrary-node"
    elif _account(wanted.name):
        if alone:
            yield "serviceaccount"
    else:
        yield "user-info"


async def _constrained(app: App, request: Request, wanted: UserInfo, mode: str) -> bool:
    """Whether the caller may do this as that user."""
    caller, info = request.user, request.info
    if MASTERS in wanted.groups or "" in wanted.groups or not all(map(_is_sound, wanted.extra.items())):
        return False
    if mode == "associated-node":
        # Where the caller runs has been looked at; what else its token says makes no difference.
        caller = replace(caller, extra={_KEYS: tuple(sorted(caller.extra))})
    union = Union(app.authorizers)

    async def may(target: RequestInfo) -> bool:
        return bool((await union.authorize(caller, target)).allowed)

    if not await may(replace(info, verb=f"impersonate-on:{mode}:{info.verb}")):
        return False
    targets = list(_targets(wanted, f"impersonate:{mode}", _AUTHENTICATION, "*" if mode == "associated-node" else ""))
    for kind in ("users", "nodes", "serviceaccounts", "uids", "groups", "userextras"):
        of_kind = [target for target in targets if target.resource == kind]
        if len(of_kind) >= MANY:
            everything = replace(of_kind[0], name="*", subresource="*" if kind == "userextras" else "")
            if await may(everything):
                continue
        for target in of_kind:
            if not await may(target):
                return False
    return True


def _is_sound(extra: tuple[str, tuple[str, ...]]) -> bool:
    """Whether a key and its values may be had in a constrained mode."""
    key, values = extra
    domain, slash, rest = key.partition("/")
    named = bool(slash and rest) and not names.dns_subdomain(domain) and key == key.lower()
    return named and bool(values) and "" not in values


def _targets(wanted: UserInfo, verb: str, group: str = "", node_name: str = "") -> Iterator[RequestInfo]:
    """What the caller must be allowed the verb on. `group` is that of users and groups, in which nodes are nodes."""

    def target(resource: str, name: str, group: str = group, namespace: str = "", sub: str = "") -> RequestInfo:
        return RequestInfo(verb, "", True, group, "v1", resource, sub, namespace, name)

    account, node = _account(wanted.name), _node(wanted.name)
    if account:
        yield target("serviceaccounts", account[1], namespace=account[0])
    elif node and group:
        yield target("nodes", node_name or node)
    else:
        yield target("users", wanted.name)
    if wanted.uid:
        yield target("uids", wanted.uid, _AUTHENTICATION)
    for one in wanted.groups:
        yield target("groups", one)
    for key, values in wanted.extra.items():
        for value in values:
            yield target("userextras", value, _AUTHENTICATION, sub=key)


def _account(name: str) -> tuple[str, str] | None:
    """(namespace, name) if the user is a service account."""
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    sound = name.startswith(_ACCOUNT) and not names.dns_label(namespace) and not names.dns_subdomain(account)
    return (namespace, account) if sound else None


def _node(name: str) -> str:
    """The node's name if the user is a node."""
    node = name.removeprefix(_NODE)
    return node if name.startswith(_NODE) and not names.dns_subdomain(node) else ""


def _as(wanted: UserInfo, *, fixed: bool = False) -> UserInfo:
    """The user with the groups that follow from its name; `fixed`: a node's too."""
    groups, account = wanted.groups, _account(wanted.name)
    if fixed and _node(wanted.name):
        groups = ("system:nodes",)
    if account and not groups:
        groups = account_groups(account[0])
    if wanted.name == ANONYMOUS.name:
        everyone = UNAUTHENTICATED
    elif UNAUTHENTICATED in groups:
        return replace(wanted, groups=groups)
    else:
        everyone = AUTHENTICATED
    return replace(wanted, groups=groups if everyone in groups else (*groups, everyone))
