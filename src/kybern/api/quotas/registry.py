"""Which kind is counted how."""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.quotas.claims import VolumeClaims
from kybern.api.quotas.devices import Nothing, ResourceClaims, Surroundings
from kybern.api.quotas.evaluator import Evaluator
from kybern.api.quotas.pods import Pods
from kybern.api.quotas.services import Services

_BY_PLAIN_NAME = frozenset(("configmaps", "replicationcontrollers", "resourcequotas", "secrets"))

IGNORED = frozenset({
    ("", "bindings"), ("", "componentstatuses"), ("", "events"), ("events.k8s.io", "events"),
    ("authentication.k8s.io", "tokenreviews"), ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"), ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"), ("authorization.k8s.io", "subjectaccessreviews"),
})  # fmt: skip
"""Kinds that no quota counts: those that aren't stored, and events."""


class Evaluators:
    """One server's, or one controller's: `around` is where they look for what the cost of an object depends on."""

    def __init__(self, around: Surroundings | None = None) -> None:
        pods = Pods()
        special = (pods, Services(), VolumeClaims(), ResourceClaims(around or Nothing(), pods))
        self._special: tuple[Evaluator, ...] = special
        self._known: dict[tuple[str, str], Evaluator] = {(one.group, one.plural): one for one in self._special}

    def of(self, group: str, plural: str) -> Evaluator:
        """How a kind is counted."""
        found = self._known.get((group, plural))
        if found is None:
            alias = plural if not group and plural in _BY_PLAIN_NAME else ""
            found = self._known[group, plural] = Evaluator(group, plural, alias)
        return found

    def concerning(self, names: Iterable[str]) -> list[Evaluator]:
        """Those that have a say about any of a quota's resource names."""
        names = list(names)
        found = {(one.group, one.plural): one for one in self._special if one.matching(names)}
        for name in names:
            if name in _BY_PLAIN_NAME:
                found.setdefault(("", name), self.of("", name))
            elif name.startswith("count/"):
                plural, _, group = name.removeprefix("count/").partition(".")
                if (group, plural) not in IGNORED:
                    found.setdefault((group, plural), self.of(group, plural))
        return list(found.values())
