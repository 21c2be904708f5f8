"""A little of what `make fuzz` does for long: every function that reads what clients send, on random input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
NAMES = st.sampled_from(
    ("kind", "apiVersion", "metadata", "name", "namespace", "labels", "finalizers", "spec", "template", "containers",
     "ports", "containerPort", "env", "replicas", "strategy", "type", "op", "path", "value", "from", "$patch",
     "$retainKeys", "$setElementOrder/containers", "$deleteFromPrimitiveList/finalizers", "annotations", "selector")
)  # fmt: skip
WORDS = st.sampled_from(
    ("add", "remove", "replace", "copy", "move", "test", "delete", "merge", "/spec", "/metadata/finalizers/0", "", "a",
     "/spec/template/spec/containers/-", "web", "Deployment", "apps/v1")
)  # fmt: skip
DOCUMENTS: Any = st.recursive(
    LEAVES | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", TARGETS)
def test_only_documented_errors(name: str) -> None:
    target, seeds = TARGETS[name]
    for seed in seeds:
        target(seed)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.binary(max_size=64), DOCUMENTS.map(lambda value: json.dumps(value).encode()),
                     st.sampled_from(seeds).flatmap(mutated)))  # fmt: skip
    def check(data: bytes) -> None:
        target(data)

    check()


@st.composite
def mutated(draw: Any, seed: bytes) -> bytes:
    """A seed with a piece replaced."""
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, min(len(seed), start + 8)))
    return seed[:start] + draw(st.binary(max_size=6) | st.text(max_size=4).map(str.encode)) + seed[end:]
