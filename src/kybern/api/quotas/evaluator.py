"""How objects of a kind count against a quota: the contract, and the count of objects that every kind has.

Source: Kubernetes documentation, "Resource Quotas".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from kybern.api.quotas.amounts import Amounts
from kybern.api.types import Object

CREATE, UPDATE = "CREATE", "UPDATE"


class Evaluator:
    """Counts objects: one each, under `count/<plural>.<group>` and, for a few kinds, under the plain name too."""

    counts_updates = False
    """Whether an object may come to cost more or less; then its metadata alone doesn't tell what it costs."""

    def __init__(self, group: str, plural: str, alias: str = "") -> None:
        self.group, self.plural = group, plural
        self.count = f"count/{plural}.{group}" if group else f"count/{plural}"
        self._names = frozenset({self.count, alias} - {""})

    def matching(self, names: Iterable[str]) -> list[str]:
        """Those of the resource names that this kind can use up."""
        return [name for name in names if name in self._names]

    def handles(self, operation: str, subresource: str, obj: Object, old: Object | None) -> bool:
        """Whether such a write can change what is used."""
        return operation == CREATE and not subresource

    def usage(self, obj: Object) -> Amounts:
        """What the object costs."""
        return dict.fromkeys(self._names, "1")

    def missing(self, required: Collection[str], obj: Object) -> str:
        """What the object must say to be counted, as a refusal; empty if it says it."""
        return ""

    def in_scope(self, rule: Object, obj: Object) -> bool:
        """Whether the object is in the scope that the rule (scopeName, operator, values) describes."""
        return False

    def covers(self, quota: Object, obj: Object) -> bool:
        """Whether the quota applies to the object: it limits something of its kind, and the object is in its scopes."""
        hard = (quota.get("status") or {}).get("hard") or {}
        return bool(self.matching(hard)) and self.in_scopes(quota, obj)

    def in_scopes(self, quota: Object, obj: Object) -> bool:
        """Whether the object is in all scopes of the quota."""
        return all(self.in_scope(rule, obj) for rule in scope_rules(quota))


def scope_rules(quota: Object) -> list[Object]:
    """A quota's scopes, those of `spec.scopes` as rules too."""
    spec = quota.get("spec") or {}
    rules = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    return rules + list((spec.get("scopeSelector") or {}).get("matchExpressions") or ())


def selects(rule: Object, values: Sequence[str]) -> bool:
    """Whether a rule's operator holds for any of an object's values of the scope; it may have none."""
    listed = rule.get("values") or ()
    match rule.get("operator"):
        case "Exists":
            return bool(values)
        case "DoesNotExist":
            return not values
        case "In":
            return any(value in listed for value in values)
        case "NotIn":
            return not values or any(value not in listed for value in values)
    return False
