"""Fields of gates that are off go, unless the object had them; each is one that its kind has."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.gates import switched
from tests.integration.apiserver.gated_samples import SAMPLES, sample, values

from kybern.api import gated_fields
from kybern.api.gated_fields import RULES, Rule
from kybern.api.schema import Type, builtin
from kybern.api.scheme import builtin as kinds
from kybern.process.feature_table import DEPENDENCIES, GATES

SHARED = gated_fields._SHARED
CASES = [(rule, kind, place) for rule in RULES for kind, place in SHARED.get(rule.kind, {rule.kind: ""}).items()]
IDS = [f"{kind} {rule.gates}" for rule, kind, _ in CASES]
KINDS = {kind.group_kind: kind for kind in kinds()}


def off(rule: Rule) -> dict[str, bool]:
    """All on but the rule's gate and what stands on it."""
    gone = {rule.gates.split()[-1]}
    for _ in range(4):
        gone |= {name for name, needed in DEPENDENCIES.items() if gone & set(needed)}
    return {"AllAlpha": True, "AllBeta": True, **dict.fromkeys(gone, False)}


def has(rule: Rule, kind: str, obj: Any) -> bool:
    return any(values(obj, path) for path in gated_fields._paths(rule, kind, rule.paths))


def test_every_rule_has_a_sample() -> None:
    assert {(rule.gates.split()[0], rule.kind) for rule in RULES} == set(SAMPLES)
    assert not [rule for rule in RULES for gate in rule.gates.split() if GATES[gate].locked]


@pytest.mark.parametrize(("rule", "kind", "place"), CASES, ids=IDS)
def test_every_field_is_one_of_its_kind(rule: Rule, kind: str, place: str) -> None:
    known = KINDS[kind]
    top = builtin().kind(known.api_version(), known.kind)
    for path in gated_fields._paths(rule, kind, rule.paths):
        here: Type | None = top
        for part in path.split("(")[0].split("!=")[0].replace("?", "").split("."):
            assert here is not None and here.shape == "struct", path
            here = here.fields[part.removesuffix("[]").removesuffix("{}")]
            if part[-2:] in ("[]", "{}"):
                assert here.shape == ("list" if part[-2:] == "[]" else "map"), path
                here = here.items


@pytest.mark.parametrize(("rule", "kind", "place"), CASES, ids=IDS)
def test_they_go_while_the_gate_is_off(rule: Rule, kind: str, place: str) -> None:
    full = sample(rule, kind, place, "default")
    assert has(rule, kind, full)
    with switched(AllAlpha=True, AllBeta=True):
        new = copy.deepcopy(full)
        gated_fields.drop(kind, new)
        assert new == full
    with switched(**off(rule)):
        new = copy.deepcopy(full)
        gated_fields.drop(kind, new)
        assert not has(rule, kind, new) and new != full
        without, kept = new, copy.deepcopy(full)
        gated_fields.drop(kind, kept, full)
        assert kept == full
        new = copy.deepcopy(full)
        gated_fields.drop(kind, new, without if not rule.used else {})
        assert not has(rule, kind, new)


def test_what_a_field_leaves_empty_goes_with_it_only_where_it_is_said() -> None:
    lifecycle: Any = {"stopSignal": "SIGUSR1"}
    containers = [{"name": "a", "lifecycle": dict(lifecycle)},
                  {"name": "b", "lifecycle": {**lifecycle, "preStop": {"sleep": {"seconds": 1}}}}]  # fmt: skip
    pod: Any = {"spec": {"containers": containers, "schedulingGroup": {"podGroupName": "g"}}}
    gated_fields.drop("Pod", pod)
    left: Any = [{"name": "a"}, {"name": "b", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}]
    assert pod == {"spec": {"containers": left}}


def test_sidecars_are_not_a_matter_of_restart_rules() -> None:
    with switched(AllBeta=False):
        pod: Any = {"spec": {"initContainers": [{"restartPolicy": "Always"}, {"restartPolicy": "Never"}, {}]}}
        gated_fields.drop("Pod", pod)
        assert pod == {"spec": {"initContainers": [{"restartPolicy": "Always"}, {}, {}]}}


def test_what_is_empty_was_not_used() -> None:
    new: Any = {"spec": {"podGroupTemplates": [{"resourceClaims": [{"name": "r"}]}]}}
    gated_fields.drop("scheduling.k8s.io/Workload", new, {"spec": {"podGroupTemplates": [{"resourceClaims": []}]}})
    assert new == {"spec": {"podGroupTemplates": [{}]}}


@pytest.mark.parametrize("odd", [None, {}, {"containers": None}, {"containers": [None, {}, {"lifecycle": None}]}])
def test_gaps_are_no_matter(odd: Any) -> None:
    pod: Any = {"spec": odd}
    gated_fields.drop("Pod", pod, {})
    assert pod == {"spec": odd}
