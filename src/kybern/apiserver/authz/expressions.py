"""The authorizer that expressions ask: `authorizer.group('').resource('pods').check('get')`.

Source: "Common Expression Language in Kubernetes", Kubernetes authorizer library.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kybern.api.cel.functions.authorization import Answer, Check
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import decide
from kybern.apiserver.request import RequestInfo, UserInfo


def asking(app: App, user: UserInfo) -> Callable[[Check], Awaitable[Answer]]:
    """What answers the checks of an expression that is evaluated for a user."""

    async def ask(check: Check) -> Answer:
        who = _account(*check.account) if check.account else user
        decision = await decide(app, who, _info(check))
        return Answer(bool(decision.allowed), decision.reason)

    return ask


def _account(namespace: str, name: str) -> UserInfo:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return UserInfo(f"system:serviceaccount:{namespace}:{name}", groups)


def _info(check: Check) -> RequestInfo:
    if check.path:
        return RequestInfo(check.verb, check.path)
    return RequestInfo(
        check.verb, "", True, check.group, "*", check.resource, check.subresource, check.namespace, check.name,
        fields=check.field_selector, labels=check.label_selector,
    )  # fmt: skip
