"""The webhooks that configurations name, in the order of the configurations' names, and which writes are theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

from kybern.api import selectors
from kybern.api.admissionregistration import rules
from kybern.api.resource import Resource
from kybern.api.scheme import Scheme
from kybern.api.types import Object
from kybern.apiserver.admission.base import Attributes
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

    def wants_labels(self, a: Attributes) -> bool:
        """Whether it is told of objects with such labels: those of the new one or of the old one."""
        if self.objects.everything:
            return True
        return any(
            obj is not None and "metadata" in obj and self.objects.matches(obj["metadata"].get("labels"))
            for obj in (a.object, a.old)
        )


class Configured:
    """All webhooks of one kind of configuration, kept until one changes."""

    def __init__(self, lister: Lister, scheme: Scheme, changed: Callable[[], None]) -> None:
        self._lister, self._scheme, self._changed = lister, scheme, changed
        self._webhooks: list[Webhook] | None = None
        self._equivalents = _Equivalents(-1, {})
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
        plurals = {plural, *(one.resource.plural for one in self._like(group, plural))}
        return any(webhook.may_want(operation, plurals) for webhook in self)

    def equivalents(self, a: Attributes) -> list[Target]:
        """The same resource in other versions, and in other groups that share its storage."""
        here = (a.resource.group, a.version, a.resource.plural)
        return [one for one in self._like(a.resource.group, a.resource.plural) if one.named != here]

    def _like(self, group: str, plural: str) -> list[Target]:
        if self._equivalents.version != self._scheme.version:
            self._equivalents = _Equivalents(self._scheme.version, {})
        known = self._equivalents.targets
        if (group, plural) not in known:
            known[group, plural] = _sharing(self._scheme, self._scheme.resource(group, plural))
        return known[group, plural]


class _Equivalents(NamedTuple):
    version: int
    targets: dict[tuple[str, str], list[Target]]


def _sharing(scheme: Scheme, resource: Resource | None) -> list[Target]:
    if resource is None:
        return []
    prefix = resource.prefix()
    found = [resource, *(one for one in scheme if one is not resource and one.prefix() == prefix)]
    return [Target(one, version) for one in found for version in one.versions]


def _numbered(configurations: list[Object]) -> list[Webhook]:
    made: list[Webhook] = []
    for configuration in sorted(configurations, key=lambda one: str(one["metadata"]["name"])):
        name, seen = configuration["metadata"]["name"], dict[str, int]()
        for said in configuration.get("webhooks") or ():
            number = seen[said["name"]] = seen.get(said["name"], -1) + 1
            made.append(Webhook(name, f"{name}/{said['name']}/{number}", len(made), said))
    return made
