"""The contract of an authorizer, the union of several, and upstream's words for a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from kybern.api.errors import Forbidden, InternalError, qualified
from kybern.api.types import Object
from kybern.apiserver import auth_metrics
from kybern.apiserver.app import App, Authorizer, Decision
from kybern.apiserver.request import RequestInfo, UserInfo
from kybern.process.clock import monotonic

MASTERS = "system:masters"
"""Members of this group may do anything, whatever the roles say."""


NO_OPINION = Decision(None)
YES = Decision(True)


class Rules(NamedTuple):
    """What a user may do in a namespace: RBAC-shaped rules. `incomplete` where an authorizer can't list them."""

    resource: list[Object]
    non_resource: list[Object]
    incomplete: bool = False
    error: str = ""


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

    label = ("AlwaysAllow", "alwaysallow")

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return YES

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        return Rules(
            [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}], [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        )


class AlwaysDeny:
    """--authorization-mode=AlwaysDeny."""

    label = ("AlwaysDeny", "alwaysdeny")

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return Decision(None, "Everything is forbidden.")

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        return Rules([], [])


class Union:
    """Asks in order."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self.authorizers = tuple(authorizers)

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return await _first(self.authorizers, user, info)

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        found = [one.rules_for(user, namespace) for one in self.authorizers if isinstance(one, Lists)]
        errors = [rules.error for rules in found if rules.error]
        return Rules(
            [rule for rules in found for rule in rules.resource],
            [rule for rules in found for rule in rules.non_resource],
            any(rules.incomplete for rules in found),
            errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]" if errors else "",
        )


async def _first(authorizers: Sequence[Authorizer], user: UserInfo, info: RequestInfo) -> Decision:
    """The first opinion; without one, all that was said against it."""
    reasons: list[str] = []
    errors: list[str] = []
    for authorizer in authorizers:
        decision = await authorizer.authorize(user, info)
        if decision.reason:
            reasons.append(decision.reason)
        if decision.error:
            errors.append(decision.error)
        if decision.allowed is not None:
            label = getattr(authorizer, "label", None)
            if label is not None:
                auth_metrics.decisions[(*label, "allowed" if decision.allowed else "denied")] += 1
            if decision.allowed or not errors:
                return decision
            return Decision(False, decision.reason, _joined(errors))
    return Decision(None, "\n".join(reasons), _joined(errors)) if reasons or errors else NO_OPINION


def _joined(errors: Sequence[str]) -> str:
    return errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]" if errors else ""


async def require(app: App, user: UserInfo, info: RequestInfo) -> None:
    """Raise Forbidden unless the server's authorizers allow the request."""
    refuse(user, info, await decide(app, user, info))


def refuse(user: UserInfo, info: RequestInfo, decision: Decision) -> None:
    """Raise what there is to raise of a decision: Forbidden, or InternalError where nobody could know."""
    if decision.allowed:
        return
    if decision.error:
        said = f"Internal error occurred: {decision.error}"
        raise InternalError(said, details={"causes": [{"message": decision.error}]})
    raise forbidden(user, info, decision.reason)


async def decide(app: App, user: UserInfo, info: RequestInfo) -> Decision:
    """What the server's authorizers say."""
    began = monotonic()
    decision = await _first(app.authorizers, user, info)
    if decision.allowed:
        result = "allowed"
    elif decision.error:
        result = "error"
    else:
        result = "no-opinion" if decision.allowed is None else "denied"
    auth_metrics.authorizations[result] += 1
    auth_metrics.authorization_time.observe(monotonic() - began, result)
    return decision


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
