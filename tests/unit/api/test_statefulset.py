from __future__ import annotations

from typing import Any

import pytest
from tests.gates import switched

from kybern.api.apps.statefulset import StatefulSet
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.testing import builders

KIND, LABELS = StatefulSet(), {"app": "web"}
CLAIM: Object = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def stateful_set(strategy: Object | None = None, pod_spec: Object | None = None, **spec: Any) -> Object:
    template = builders.template(LABELS, **(pod_spec or {}))
    body = {"selector": {"matchLabels": LABELS}, "template": template, "updateStrategy": strategy or {}, **spec}
    made: Object = {"metadata": {"name": "web", "namespace": "default"}, "spec": body}
    KIND.default(made)
    return made


def mounting(*names: str, **spec: Any) -> Object:
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in names]
    return {"containers": [builders.container(volumeMounts=mounts)], **spec}


def complaints(obj: Object, old: Object | None = None) -> list[str]:
    errors = Errors()
    if old is None:
        KIND.validate(obj, errors)
    else:
        KIND.validate_changed(obj, old, errors)
    return [str(error) for error in errors]


def test_defaults() -> None:
    spec = stateful_set(volumeClaimTemplates=[dict(CLAIM)])["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["podManagementPolicy"]) == (1, 10, "OrderedReady")
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    claim = spec["volumeClaimTemplates"][0]
    assert (claim["kind"], claim["spec"]["volumeMode"], claim["status"]) == (
        "PersistentVolumeClaim", "Filesystem", {"phase": "Pending"},
    )  # fmt: skip
    with switched(MaxUnavailableStatefulSet=True):
        assert stateful_set()["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0, "maxUnavailable": 1}
    assert stateful_set({"type": "RollingUpdate"})["spec"]["updateStrategy"] == {"type": "RollingUpdate"}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (stateful_set(), []),
        (stateful_set(pod_spec=mounting("data"), volumeClaimTemplates=[CLAIM]), []),
        (
            stateful_set(pod_spec=mounting("data")),
            ['spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"'],
        ),
        (
            stateful_set(podManagementPolicy="Random"),
            ['spec.podManagementPolicy: Invalid value: "Random": must be \'OrderedReady\' or \'Parallel\''],
        ),
        (
            stateful_set({"type": "Never"}),
            ["spec.updateStrategy: Invalid value: {\"type\":\"Never\"}: must be 'RollingUpdate' or 'OnDelete'"],
        ),
        (
            stateful_set({"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
            [
                'spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: '
                "only allowed for updateStrategy 'RollingUpdate'"
            ],
        ),
        (
            stateful_set({"type": "RollingUpdate", "rollingUpdate": {"partition": -1, "maxUnavailable": 0}}),
            [
                "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
            ],
        ),
        (
            stateful_set(persistentVolumeClaimRetentionPolicy={"whenScaled": "Keep"}),
            [
                'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Keep": '
                'supported values: "Delete", "Retain"'
            ],
        ),
        (
            stateful_set(ordinals={"start": -1}),
            ["spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (stateful_set(selector={}), ["spec.selector: Invalid value: {}: empty selector is invalid for statefulset"]),
        (
            stateful_set(pod_spec={"activeDeadlineSeconds": 5}),
            [
                "spec.template.spec.activeDeadlineSeconds: Forbidden: "
                "activeDeadlineSeconds in StatefulSet is not Supported"
            ],
        ),
        (
            stateful_set(volumeClaimTemplates=[{**CLAIM, "spec": {"accessModes": ["ReadWriteOnce"]}}]),
            ["spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"],
        ),
    ],
)  # fmt: skip
def test_rules(made: Object, said: list[str]) -> None:
    assert complaints(made) == said


def test_service_names_are_labels_but_old_ones_stay() -> None:
    bad = stateful_set(serviceName="A.b")
    assert complaints(bad)[0].startswith('spec.serviceName: Invalid value: "A.b": a lowercase RFC 1123 label')
    assert complaints(stateful_set(serviceName="A.b", replicas=2), bad) == []


def test_most_of_the_spec_stays() -> None:
    old = stateful_set(serviceName="web")
    changed = stateful_set(
        {"type": "OnDelete"}, mounting(hostNetwork=True), serviceName="web", replicas=5, minReadySeconds=3,
        ordinals={"start": 2}, revisionHistoryLimit=1, persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete"},
    )  # fmt: skip
    assert complaints(changed, old) == []
    assert complaints(stateful_set(serviceName="other"), old) == [
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
        "are forbidden"
    ]


def test_a_template_that_was_wrong_may_stay_so() -> None:
    wrong = stateful_set(pod_spec=mounting("gone"))
    assert complaints(stateful_set(pod_spec=mounting("gone"), replicas=2), wrong) == []
    assert len(complaints(wrong, stateful_set())) == 1


def test_status() -> None:
    errors = Errors()
    status = {"replicas": 1, "readyReplicas": 2, "availableReplicas": 1, "currentReplicas": -1}
    KIND.validate_status({**stateful_set(), "status": status}, stateful_set(), errors)
    assert [str(error) for error in errors] == [
        "status.currentReplicas: Invalid value: -1: must be greater than or equal to 0",
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
    ]
