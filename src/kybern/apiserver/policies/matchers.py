"""MatchResources: which writes a policy or a binding is about.

Source: API reference, MatchResources v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kybern.api import selectors
from kybern.api.admissionregistration import rules
from kybern.api.admissionregistration.rules import Asked
from kybern.api.types import Object
from kybern.apiserver.admission.base import Attributes
from kybern.apiserver.admission.matching import wants_labels, wants_namespace
from kybern.apiserver.registry import Registry
from kybern.apiserver.webhooks.review import asked_of
from kybern.apiserver.webhooks.views import Target


class Matcher:
    """One MatchResources; without any it is about everything."""

    def __init__(self, said: Object | None) -> None:
        said = said or {}
        self._rules, self._excluded = said.get("resourceRules") or [], said.get("excludeResourceRules") or []
        self._exact = said.get("matchPolicy") == "Exact"
        self._namespaces = selectors.from_object(said.get("namespaceSelector") or {})
        self._objects = selectors.from_object(said.get("objectSelector") or {})

    def may_want(self, operation: str, plurals: Iterable[str]) -> bool:
        """Whether some write of that operation to one of the resources could be meant."""
        return not self._rules or any(
            rules.may_match(rule, operation, plural) for rule in self._rules for plural in plurals
        )

    async def target(
        self, a: Attributes, others: Callable[[], list[Target]], registry: Registry
    ) -> Target | None:
        """As what a write is meant: as what was asked for, or as an equivalent of that; None if it isn't meant.
        Raises NotFound (its namespace isn't there)."""
        if not wants_labels(self._objects, a) or not await wants_namespace(self._namespaces, a, registry):
            return None
        if self._excluded and self._match(self._excluded, a, others) is not None:
            return None
        if not self._rules:
            return Target(a.resource, a.version)
        return self._match(self._rules, a, others)

    def _match(self, said: list[Object], a: Attributes, others: Callable[[], list[Target]]) -> Target | None:
        asked = asked_of(a)
        if any(_matches(rule, asked, a.name) for rule in said):
            return Target(a.resource, a.version)
        if self._exact:
            return None
        known = others()
        for rule in said:
            for other in known:
                named = other.named
                alike = asked._replace(group=named.group, version=named.version, resource=named.name)
                if _matches(rule, alike, a.name):
                    return other
        return None


def _matches(rule: Object, asked: Asked, name: str) -> bool:
    named = rule.get("resourceNames")
    return rules.matches(rule, asked) and (not named or name in named)
