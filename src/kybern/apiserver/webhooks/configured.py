"""The webhooks that configurations name, in the order of the configurations' names, and which writes are theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from kybern.api import selectors
from kybern.api.admissionregistration import rules
from kybern.api.scheme import Scheme
from kybern.api.types import Object
from kybern.apiserver.admission.base import Attributes
from kybern.apiserver.admission.matching import Equivalents
from kybern.apiserver.registry import Lister
from kybern.apiserver.webhooks.review import asked_of
from kybern.apiserver.webhooks.views import Target

EXEMPT = frozenset(
    ("admissionregistration.k8s.io", plural)
    for plural in (
        "mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations",
        "validatingadmissionpolicies", "validatingadmissionpolicybindings", "validatingwebhookconfigurations",
    )
)  # fmt: skip
"""What no webhook is asked about, so that a bad one can always be taken away."""


class Webhook:
    """One webhook of a configuration. `uid` tells it from the others; `index` is its place among all."""

    def __init__(self, configuration: str, uid: str, index: int, said: Object) -> None:
        self.configuration, self.uid, self.index, self.said = configuration, uid, index, said
        self.name: str = said["name"]
        self.ignores_failure = said.get("failurePolicy") == "Ignore"
        self.seconds = float(said.get("timeoutSeconds") or 10)
        self.conditions = [one["expression"] for one in said.get("matchConditions") or ()]

    @cached_property
    def namespaces(self) -> selectors.Selector:
        """Of which namespaces it wants to hear."""
        return selectors.from_object(self.said.get("namespaceSelector") or {})

    @cached_property
    def objects(self) -> selectors.Selector:
        """Of which objects it wants to hear."""
        return selectors.from_object(self.said.get("objectSelector") or {})

    def may_want(self, operation: str, plurals: Iterable[str]) -> bool:
        """Whether some write of that operation to one of the resources could be its."""
        said = self.said.get("rules") or ()
        return any(rules.may_match(rule, operation, plural) for rule in said for plural in plurals)

    def target(self, a: Attributes, equivalents: Callable[[], list[Target]]) -> Target | None:
        """As what it is told of a write: as what was asked for, or as an equivalent of that; None if it isn't told."""
        asked, said = asked_of(a), self.said.get("rules") or ()
        if any(rules.matches(rule, asked) for rule in said):
            return Target(a.resource, a.version)
        if self.said.get("matchPolicy") == "Exact":
            return None
        others = equivalents()
        for rule in said:
            for other in others:
                named = other.named
                if rules.matches(rule, asked._replace(group=named.group, version=named.version, resource=named.name)):
                    return other
        return None


class Configured:
    """All webhooks of one kind of configuration, kept until one changes."""

    def __init__(self, lister: Lister, scheme: Scheme, changed: Callable[[], None]) -> None:
        self._lister, self._changed = lister, changed
        self._webhooks: list[Webhook] | None = None
        self._equivalents = Equivalents(scheme)
        lister.on_change(self._on_change)

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        self._webhooks = None
        self._changed()

    def __iter__(self) -> Iterator[Webhook]:
        if self._webhooks is None:
            self._webhooks = _numbered(self._lister.list())
        return iter(self._webhooks)

    def wanted(self, operation: str, group: str, plural: str) -> bool:
        """Whether any webhook could want to hear of such a write."""
        if (group, plural) in EXEMPT:
            return False
        plurals = {plural, *(one.resource.plural for one in self._equivalents.of(group, plural))}
        return any(webhook.may_want(operation, plurals) for webhook in self)

    def equivalents(self, a: Attributes) -> list[Target]:
        """The same resource in other versions, and in other groups that share its storage."""
        return self._equivalents.others(a)


def _numbered(configurations: list[Object]) -> list[Webhook]:
    made: list[Webhook] = []
    for configuration in sorted(configurations, key=lambda one: str(one["metadata"]["name"])):
        name, seen = configuration["metadata"]["name"], dict[str, int]()
        for said in configuration.get("webhooks") or ():
            number = seen[said["name"]] = seen.get(said["name"], -1) + 1
            made.append(Webhook(name, f"{name}/{said['name']}/{number}", len(made), said))
    return made
