"""The contract of an authorizer, the union of several, and upstream's words for a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from kybern.api.errors import Forbidden, qualified
from kybern.api.types import Object
from kybern.apiserver.app import App, Authorizer, Decision
from kybern.apiserver.request import RequestInfo, UserInfo

MASTERS = "system:masters"
"""Members of this group may do anything, whatever the roles say."""


NO_OPINION = Decision(None)
YES = Decision(True)


class Rules(NamedTuple):
    """What a user may do in a namespace: RBAC-shaped rules. `incomplete` where an authorizer can't list them."""

    resource: list[Object]
    non_resource: list[Object]
    incomplete: bool = False


@runtime_checkable
class Lists(Protocol):
    """An authorizer that can say beforehand what a user may do."""

    def rules_for(self, user: UserInfo, namespace: str) -> Rules: ...


class Masters:
    """The group that may do anything; asked first."""

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return YES if MASTERS in user.groups else NO_OPINION

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        return AlwaysAllow().rules_for(user, namespace) if MASTERS in user.groups else Rules([], [])


class AlwaysAllow:
    """--authorization-mode=AlwaysAllow."""

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return YES

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        return Rules(
            [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}], [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        )


class AlwaysDeny:
    """--authorization-mode=AlwaysDeny."""

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return Decision(None, "Everything is forbidden.")

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        return Rules([], [])


class Union:
    """Asks in order."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self.authorizers = tuple(authorizers)

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        reasons = []
        for authorizer in self.authorizers:
            decision = await authorizer.authorize(user, info)
            if decision.allowed is not None:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(None, "\n".join(reasons))

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        found = [one.rules_for(user, namespace) for one in self.authorizers if isinstance(one, Lists)]
        return Rules(
            [rule for rules in found for rule in rules.resource],
            [rule for rules in found for rule in rules.non_resource],
            any(rules.incomplete for rules in found),
        )


async def require(app: App, user: UserInfo, info: RequestInfo) -> None:
    """Raise Forbidden unless the server's authorizers allow the request."""
    decision = await decide(app, user, info)
    if not decision.allowed:
        raise forbidden(user, info, decision.reason)


async def decide(app: App, user: UserInfo, info: RequestInfo) -> Decision:
    """What the server's authorizers say: True and why, or False and all that was said against it."""
    reasons = []
    for authorizer in app.authorizers:
        decision = await authorizer.authorize(user, info)
        if decision.allowed:
            return decision
        if decision.reason:
            reasons.append(decision.reason)
        if decision.allowed is False:
            break
    return Decision(False, "\n".join(reasons))


def forbidden(user: UserInfo, info: RequestInfo, reason: str) -> Forbidden:
    """The error of a refused request."""
    tail = f": {reason}" if reason else ""
    if not info.is_resource:
        return Forbidden(f'forbidden: User "{user.name}" cannot {info.verb} path "{info.path}"{tail}', details={})
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if info.namespace:
        where = f' in the namespace "{info.namespace}"'
    else:
        where = " at the cluster scope"
    text = f'User "{user.name}" cannot {info.verb} resource "{resource}" in API group "{info.group}"{where}{tail}'
    named = f' "{info.name}"' if info.name else ""
    details: Object = {"name": info.name} if info.name else {}
    if info.group:
        details["group"] = info.group
    details["kind"] = info.resource
    return Forbidden(f"{qualified(info.resource, info.group)}{named} is forbidden: {text}", details=details)
