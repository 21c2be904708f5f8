"""matchLabelKeys and mismatchLabelKeys of a new pod become part of the selectors they stand beside."""

from __future__ import annotations

import pytest

from kybern.api.core.pod import Pod
from kybern.api.resource import Preparation
from kybern.api.types import Object
from kybern.process import features


def made() -> Object:
    """The spec of a pod that was made with label keys."""
    keys = {"matchLabelKeys": ["hash", "other"], "labelSelector": {"matchLabels": {"app": "a"}}}
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", **keys}
    term = {"topologyKey": "zone", "mismatchLabelKeys": ["hash"], "labelSelector": {}}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    pod: Object = {
        "metadata": {"name": "p", "labels": {"app": "a", "hash": "1"}},
        "spec": {
            "containers": [{"name": "c", "image": "i"}],
            "topologySpreadConstraints": [spread, {**spread, "labelSelector": None}],
            "affinity": {"podAntiAffinity": required},
        },
    }
    Pod().default(pod)
    Pod().prepare_create(pod, Preparation())
    result: Object = pod["spec"]
    return result


def test_a_new_pod_is_matched_by_its_own_values() -> None:
    spec = made()
    one, without = spec["topologySpreadConstraints"]
    assert one["labelSelector"] == {
        "matchLabels": {"app": "a"},
        "matchExpressions": [{"key": "hash", "operator": "In", "values": ["1"]}],
    }
    assert without["labelSelector"] is None
    (term,) = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"] == {"matchExpressions": [{"key": "hash", "operator": "NotIn", "values": ["1"]}]}


def test_spread_constraints_stay_as_they_are_without_the_gate(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: features.switch({}))
    features.switch({"MatchLabelKeysInPodTopologySpreadSelectorMerge": False})
    assert made()["topologySpreadConstraints"][0]["labelSelector"] == {"matchLabels": {"app": "a"}}
