"""What a write uses up of the quotas of its namespace, and whether there is enough left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kybern.api import quantity
from kybern.api.quotas.amounts import Amounts, above, equal, only, plus, shown, without_zeros
from kybern.api.quotas.evaluator import UPDATE, Evaluator, scope_rules
from kybern.api.types import Object


class Refused(Exception):
    """A quota doesn't allow the write; its text says which and why."""


class Write(NamedTuple):
    """What is to be written, and how it is counted."""

    evaluator: Evaluator
    operation: str
    subresource: str
    object: Object
    old: Object | None


class Limited(NamedTuple):
    """A resource that nobody may use unless a quota covers it: `LimitedResource` of the plugin's configuration."""

    group: str
    plural: str
    contains: Sequence[str]
    scopes: Sequence[Object]


def charge(
    write: Write, quotas: Sequence[Object], used: Mapping[str, Amounts], limited: Sequence[Limited] = ()
) -> dict[str, Amounts]:
    """What is used then of each quota whose use the write changes, by name; `used` is before it. Raises Refused."""
    concerned = [quota for quota in quotas if write.evaluator.covers(quota, write.object)]
    covered: set[str] = set()
    for quota in concerned:
        covered |= _checked(write, quota, used[_name(quota)])
    usage = write.evaluator.usage(write.object)
    if negative := [name for name, amount in usage.items() if quantity.parse(amount) < 0]:
        raise Refused(f"quota usage is negative for resource(s): {','.join(sorted(negative))}")
    more, by_quota = _differences(write, concerned, usage)
    if not (by_quota if concerned else more):
        return {}
    if limited:
        _check_limited(write, quotas, usage, covered, limited)
    result: dict[str, Amounts] = {}
    for quota in concerned:
        name = _name(quota)
        if name in by_quota:
            new = _charged(write, quota, used[name], by_quota[name])
            if not equal(new, used[name]):
                result[name] = new
    return result


def _name(quota: Object) -> str:
    return str(quota["metadata"]["name"])


def _checked(write: Write, quota: Object, used: Amounts) -> set[str]:
    """The resources that the quota limits and the write may use."""
    hard = quota["status"]["hard"]
    names = write.evaluator.matching(hard)
    if problem := write.evaluator.missing(names, write.object):
        raise Refused(f"failed quota: {_name(quota)}: {problem}")
    if any(name not in used for name in names):
        raise Refused(f"status unknown for quota: {_name(quota)}, resources: {','.join(sorted(names))}")
    return set(names)


def _differences(write: Write, concerned: Sequence[Object], usage: Amounts) -> tuple[Amounts, dict[str, Amounts]]:
    """What the write uses beyond what the object used before: in itself, and of each quota (all of it, where the old
    object wasn't in the quota's scopes)."""
    if write.operation != UPDATE or write.old is None:
        charged = without_zeros(usage)
        return charged, {_name(quota): charged for quota in concerned} if charged else {}
    more = without_zeros(above(usage, write.evaluator.usage(write.old)))
    by_quota = {
        _name(quota): more if write.evaluator.covers(quota, write.old) else without_zeros(usage) for quota in concerned
    }
    return more, {name: amounts for name, amounts in by_quota.items() if amounts}


def _charged(write: Write, quota: Object, used: Amounts, more: Amounts) -> Amounts:
    hard: Amounts = quota["status"]["hard"]
    requested = only(more, hard)
    new = plus(used, requested)
    # What a status says has happened already.
    if write.subresource != "status":
        exceeded = [name for name in requested if quantity.compare(new[name], hard[name]) > 0]
        if exceeded:
            parts = (("requested", requested), ("used", used), ("limited", hard))
            said = ", ".join(f"{word}: {shown(only(amounts, exceeded))}" for word, amounts in parts)
            raise Refused(f"exceeded quota: {_name(quota)}, {said}")
    return new


def _check_limited(
    write: Write, quotas: Sequence[Object], usage: Amounts, covered: set[str], limited: Sequence[Limited]
) -> None:
    evaluator = write.evaluator
    wanted = {
        name
        for one in limited
        if (one.group, one.plural) == (evaluator.group, evaluator.plural)
        for name, amount in usage.items()
        if quantity.parse(amount) > 0 and any(part in name for part in one.contains)
    }
    if uncovered := wanted - covered:
        raise Refused(f"insufficient quota to consume: {','.join(sorted(uncovered))}")
    matched = {
        rule["scopeName"]
        for quota in quotas
        for rule in scope_rules(quota)
        if evaluator.in_scope(rule, write.object)
    }  # fmt: skip
    missing = [
        rule
        for one in limited
        for rule in one.scopes
        if evaluator.in_scope(rule, write.object) and rule["scopeName"] not in matched
    ]
    if missing:
        said = " ".join(
            f"{{{rule['scopeName']} {rule.get('operator', '')} [{' '.join(rule.get('values') or ())}]}}"
            for rule in missing
        )
        raise Refused(f"insufficient quota to match these scopes: [{said}]")
