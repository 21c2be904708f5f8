"""Which kind is counted how."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from kybern.api.quotas.claims import VolumeClaims
from kybern.api.quotas.devices import ResourceClaims
from kybern.api.quotas.evaluator import Evaluator
from kybern.api.quotas.pods import Pods
from kybern.api.quotas.services import Services

_SPECIAL = (Pods(), Services(), VolumeClaims(), ResourceClaims())
_OWN = {(one.group, one.plural): one for one in _SPECIAL}
_BY_PLAIN_NAME = frozenset(("configmaps", "replicationcontrollers", "resourcequotas", "secrets"))

IGNORED = frozenset({
    ("", "bindings"), ("", "componentstatuses"), ("", "events"), ("events.k8s.io", "events"),
    ("authentication.k8s.io", "tokenreviews"), ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"), ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"), ("authorization.k8s.io", "subjectaccessreviews"),
})  # fmt: skip
"""Kinds that no quota counts: those that aren't stored, and events."""


@cache
def evaluator(group: str, plural: str) -> Evaluator:
    """How a kind is counted."""
    own = _OWN.get((group, plural))
    alias = plural if not group and plural in _BY_PLAIN_NAME else ""
    return own or Evaluator(group, plural, alias)


def evaluators(names: Iterable[str]) -> list[Evaluator]:
    """Those that have a say about any of a quota's resource names."""
    names = list(names)
    found: dict[tuple[str, str], Evaluator] = {(one.group, one.plural): one for one in _SPECIAL if one.matching(names)}
    for name in names:
        if name in _BY_PLAIN_NAME:
            found.setdefault(("", name), evaluator("", name))
        elif name.startswith("count/"):
            plural, _, group = name.removeprefix("count/").partition(".")
            if (group, plural) not in IGNORED:
                found.setdefault((group, plural), evaluator(group, plural))
    return list(found.values())
