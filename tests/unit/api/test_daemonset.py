from __future__ import annotations

from typing import Any

import pytest

from kybern.api.apps.controllerrevision import ControllerRevision
from kybern.api.apps.daemonset import TEMPLATE_GENERATION, DaemonSet
from kybern.api.field import Errors
from kybern.api.resource import Preparation
from kybern.api.types import Object
from kybern.testing import builders

KIND, LABELS = DaemonSet(), {"app": "agent"}


def daemon_set(strategy: Object | None = None, pod_spec: Object | None = None, **spec: Any) -> Object:
    template = builders.template(LABELS, **(pod_spec or {}))
    body = {"selector": {"matchLabels": LABELS}, "template": template, "updateStrategy": strategy or {}, **spec}
    made: Object = {"metadata": {"name": "agent", "namespace": "default"}, "spec": body}
    KIND.default(made)
    return made


def complaints(obj: Object, old: Object | None = None) -> list[str]:
    errors = Errors()
    if old is None:
        KIND.validate(obj, errors)
    else:
        KIND.validate_changed(obj, old, errors)
    return [str(error) for error in errors]


def rolling(**fields: Any) -> Object:
    return {"rollingUpdate": fields}


def test_defaults() -> None:
    spec = daemon_set()["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    assert spec["revisionHistoryLimit"] == 10
    assert daemon_set({"type": "OnDelete"})["spec"]["updateStrategy"] == {"type": "OnDelete"}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (daemon_set(), []),
        (daemon_set(rolling(maxSurge="10%", maxUnavailable=0)), []),
        (daemon_set({"type": "OnDelete"}), []),
        (
            daemon_set(rolling(maxSurge=1)),
            [
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: "
                "may not be set when maxUnavailable is non-zero"
            ],
        ),
        (
            daemon_set(rolling(maxUnavailable="0%")),
            ["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
        ),
        (
            daemon_set(rolling(maxUnavailable="101%")),
            ['spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
        ),
        (
            daemon_set({"type": "Often"}),
            ['spec.updateStrategy: Unsupported value: {"type":"Often"}: supported values: "OnDelete", "RollingUpdate"'],
        ),
        (
            daemon_set(selector=None),
            [
                'spec.template.metadata.labels: Invalid value: {"app":"agent"}: '
                "`selector` does not match template `labels`"
            ],
        ),
        (daemon_set(selector={}), ["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"]),
        (
            daemon_set(pod_spec={"restartPolicy": "Never"}),
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            daemon_set(pod_spec={"activeDeadlineSeconds": 5}),
            [
                "spec.template.spec.activeDeadlineSeconds: Forbidden: "
                "activeDeadlineSeconds in DaemonSet is not Supported"
            ],
        ),
        (
            daemon_set(minReadySeconds=-1),
            ["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ],
)  # fmt: skip
def test_rules(made: Object, said: list[str]) -> None:
    assert complaints(made) == said


def test_the_selector_stays() -> None:
    both = {"matchLabels": LABELS, "matchExpressions": [{"key": "app", "operator": "Exists"}]}
    said = complaints(daemon_set(selector=both), daemon_set())
    assert len(said) == 1
    assert said[0].endswith(": field is immutable")


def test_changes_of_the_template_are_counted() -> None:
    old = daemon_set()
    KIND.prepare_create(old, Preparation())
    assert old["metadata"]["annotations"] == {TEMPLATE_GENERATION: "1"}
    same = daemon_set(minReadySeconds=5)
    KIND.prepare_update(same, old, Preparation())
    assert same["metadata"]["annotations"] == {TEMPLATE_GENERATION: "1"}
    other = daemon_set(pod_spec={"hostNetwork": True})
    KIND.prepare_update(other, old, Preparation())
    assert other["metadata"]["annotations"] == {TEMPLATE_GENERATION: "2"}


def test_status() -> None:
    old = {**daemon_set(), "status": {"collisionCount": 2}}
    errors = Errors()
    KIND.validate_status({**old, "status": {"numberReady": -1, "collisionCount": 1}}, old, errors)
    assert [str(error) for error in errors] == [
        "status.numberReady: Invalid value: -1: must be greater than or equal to 0",
        "status.collisionCount: Invalid value: 1: cannot be decremented",
    ]


def test_revisions_keep_their_data() -> None:
    kind, errors = ControllerRevision(), Errors()
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "controller": True}
    old: Object = {"metadata": {"ownerReferences": [owner]}, "data": {"a": 1}, "revision": 1}
    kind.validate_changed({**old, "revision": 2}, old, errors)
    assert errors == []
    assert kind.columns[0].cell(old) == "daemonset.apps/agent"
    assert kind.columns[0].cell({"metadata": {}}) == "<none>"
    kind.validate_changed({**old, "data": None, "revision": -1}, old, errors)
    assert [str(error) for error in errors] == [
        "data: Required value: data is mandatory",
        "revision: Invalid value: -1: must be greater than or equal to 0",
        "data: Invalid value: null: field is immutable",
    ]
