from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.checking import changed, problems

from kybern.api.core.persistentvolume import PersistentVolume
from kybern.api.core.persistentvolumeclaim import PersistentVolumeClaim
from kybern.api.resource import Preparation

VOLUME = {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}}
CSI = {"driver": "d.example.com", "volumeHandle": "h"}
CLAIM = {
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}, "volumeName": "v"},
    "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
}
AFFINITY = {
    "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}
}
_SPEC = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName"


def with_source(**source: Any) -> dict[str, Any]:
    spec = {key: value for key, value in VOLUME["spec"].items() if key != "hostPath"}
    return {"spec": {**spec, **source}}


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (VOLUME, []),
        (with_source(), ["spec: Required value: must specify a volume type"]),
        (with_source(csi=CSI, nfs={"server": "s", "path": "/"}),
         ["spec.csi: Forbidden: may not specify more than 1 volume type"]),
        (with_source(local={"path": "/mnt"}),
         ["spec.nodeAffinity: Required value: Local volume requires node affinity"]),
        (with_source(local={"path": "../x"}, nodeAffinity=AFFINITY),
         ['spec.local.path: Invalid value: "../x": must not contain \'..\'']),
        (with_source(csi={**CSI, "nodePublishSecretRef": {"name": "s"}}),
         ["spec.csi.nodePublishSecretRef.namespace: Required value"]),
        (with_source(csi={"driver": "d"}), ["spec.csi.volumeHandle: Required value"]),
        (with_source(azureFile={"secretName": "s", "shareName": "s", "secretNamespace": ""}),
         ["spec.azureFile.secretNamespace: Required value"]),
        (with_source(cinder={"volumeID": "v", "secretRef": {"name": "s"}}),
         ["spec.cinder.secretRef.namespace: Required value"]),
        (changed(VOLUME, "spec.capacity", {"storage": "0"}),
         ['spec.capacity[storage]: Invalid value: "0": must be greater than zero']),
        (changed(VOLUME, "spec.accessModes", []), ["spec.accessModes: Required value"]),
        (changed(VOLUME, "spec.accessModes", ["ReadWriteOncePod", "ReadOnlyMany"]),
         ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"]),
        (changed(changed(VOLUME, "spec.hostPath.path", "//."), "spec.persistentVolumeReclaimPolicy", "Recycle"),
         ["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"]),
        (changed(VOLUME, "spec.volumeAttributesClassName", "fast"),
         ["spec.csi: Required value: has to be specified when using volumeAttributesClassName"]),
        (changed(VOLUME, "spec.nodeAffinity", {}),
         ["spec.nodeAffinity.required: Required value: must specify required node constraints"]),
    ],
)  # fmt: skip
def test_volumes(volume: dict[str, Any], expected: list[str]) -> None:
    assert problems(PersistentVolume(), volume) == expected


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (changed(VOLUME, "spec.hostPath.path", "/y"), VOLUME,
         ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"]),
        (changed(VOLUME, "spec.volumeMode", "Block"), VOLUME,
         ['volumeMode: Invalid value: "Block": field is immutable']),
        (changed(VOLUME, "spec.nodeAffinity", AFFINITY), VOLUME, []),
        (with_source(csi={**CSI, "controllerExpandSecretRef": {"name": "s", "namespace": "n"}}), with_source(csi=CSI),
         []),
        (with_source(csi=CSI), with_source(csi=CSI, volumeAttributesClassName="fast"),
         ["spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"]),
    ],
)  # fmt: skip
def test_what_stays_of_a_volume(new: dict[str, Any], old: dict[str, Any], expected: list[str]) -> None:
    assert problems(PersistentVolume(), new, old) == expected


def test_labels_in_a_volumes_affinity_may_be_called_by_their_stable_names() -> None:
    key = "spec.nodeAffinity.required.nodeSelectorTerms.0.matchExpressions.0.key"
    beta = changed(changed(VOLUME, "spec.nodeAffinity", AFFINITY), key, "failure-domain.beta.kubernetes.io/zone")
    assert problems(PersistentVolume(), changed(beta, key, "topology.kubernetes.io/zone"), beta) == []
    found = problems(PersistentVolume(), changed(beta, key, "topology.kubernetes.io/region"), beta)
    assert [text.partition(": ")[0] for text in found] == ["nodeAffinity"]
    assert found[0].endswith(": field is immutable, except for updating from beta label to GA")


def test_what_is_said_of_old_ways() -> None:
    prep = Preparation()
    old = with_source(rbd={"monitors": ["m"], "image": "i"}, persistentVolumeReclaimPolicy="Recycle")
    PersistentVolume().prepare_create({**old, "metadata": {"name": "v"}}, prep)
    assert [text.partition(": ")[0] for text in prep.warnings] == ["spec.persistentVolumeReclaimPolicy", "spec.rbd"]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.resources.requests.storage", "0",
         ['spec.resources[storage]: Invalid value: "0": must be greater than zero']),
        ("spec.resources", {}, ["spec.resources[storage]: Required value"]),
        ("spec.accessModes", [], ["spec.accessModes: Required value: at least 1 access mode is required"]),
        ("spec.dataSource", {"kind": "Pod", "name": "p"},
         ['spec.dataSource: Invalid value: "Pod": must be \'PersistentVolumeClaim\' when referencing the default '
          "apiGroup"]),
        ("spec.dataSourceRef", {"kind": "Thing", "apiGroup": "example.com", "name": ""},
         ["spec.dataSourceRef.name: Required value"]),
    ],
)  # fmt: skip
def test_claims(path: str, value: Any, expected: list[str]) -> None:
    assert problems(PersistentVolumeClaim(), changed(CLAIM, path, value)) == expected


def test_sources_of_a_claim_agree() -> None:
    one, other = ({"kind": "PersistentVolumeClaim", "name": name} for name in "ab")
    both = changed(changed(CLAIM, "spec.dataSource", one), "spec.dataSourceRef", other)
    assert problems(PersistentVolumeClaim(), both) == [
        'spec: Invalid value: "spec.dataSource": must match dataSourceRef'
    ]
    elsewhere = changed(both, "spec.dataSourceRef.namespace", "n")
    assert problems(PersistentVolumeClaim(), elsewhere) == [
        'spec: Invalid value: "spec.dataSource": may not be specified when dataSourceRef.namespace is specified'
    ]


def test_what_is_said_of_a_source_is_said_twice() -> None:
    kind, snapshot = PersistentVolumeClaim(), {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot"}
    made: dict[str, Any] = {"metadata": {}, "spec": {"dataSource": dict(snapshot)}}
    kind.prepare_create(made, Preparation())
    assert made["spec"]["dataSourceRef"] == snapshot
    other: dict[str, Any] = {"metadata": {}, "spec": {"dataSource": {"apiGroup": "example.com", "kind": "Thing"}}}
    kind.prepare_create(other, Preparation())
    assert other["spec"] == {}
    thing = {"apiGroup": "example.com", "kind": "Thing", "namespace": "n"}
    far: dict[str, Any] = {"metadata": {}, "spec": {"dataSourceRef": thing}}
    kind.prepare_create(far, Preparation())
    assert far["spec"] == {"dataSourceRef": thing}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.resources.requests.storage", "3Gi", []),
        ("spec.resources.requests.storage", "1500Mi", []),
        ("spec.resources.requests.storage", "1Gi",
         ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]),
        ("spec.volumeAttributesClassName", "fast", []),
        ("spec.storageClassName", "filled-in", []),
        ("spec.volumeName", "other", [f"{_SPEC} for bound claims"]),
        ("spec.accessModes", ["ReadOnlyMany"], [f"{_SPEC} for bound claims"]),
        ("spec.resources.limits", {"storage": "9Gi"}, [f"{_SPEC} for bound claims"]),
    ],
)  # fmt: skip
def test_what_stays_of_a_bound_claim(path: str, value: Any, expected: list[str]) -> None:
    assert problems(PersistentVolumeClaim(), changed(CLAIM, path, value), CLAIM) == expected


def test_an_unbound_claim_gets_its_volume_and_nothing_else() -> None:
    pending = changed(changed(CLAIM, "status.phase", "Pending"), "spec.volumeName", "")
    assert problems(PersistentVolumeClaim(), changed(pending, "spec.volumeName", "v"), pending) == []
    more = changed(pending, "spec.resources.requests.storage", "3Gi")
    assert problems(PersistentVolumeClaim(), more, pending) == [f"{_SPEC} for bound claims"]


def test_attributes_are_not_given_up() -> None:
    old = changed(CLAIM, "spec.volumeAttributesClassName", "fast")
    assert problems(PersistentVolumeClaim(), CLAIM, old) == []
    had = changed(old, "status.currentVolumeAttributesClassName", "fast")
    said = "spec.volumeAttributesClassName: Forbidden: update to {} is forbidden when "
    said += "status.currentVolumeAttributesClassName is not nil"
    assert problems(PersistentVolumeClaim(), CLAIM, had) == [said.format("nil")]
    assert problems(PersistentVolumeClaim(), changed(old, "spec.volumeAttributesClassName", ""), had) == [
        said.format("empty string")
    ]
    assert problems(PersistentVolumeClaim(), changed(old, "spec.volumeAttributesClassName", "slow"), had) == []


def test_status_of_a_claim() -> None:
    wrong = changed(CLAIM, "status.allocatedResourceStatuses", {"cpu": "Pending"})
    assert problems(PersistentVolumeClaim(), wrong, CLAIM, "status") == [
        'status.allocatedResourceStatuses: Unsupported value: "cpu": supported values: "storage"',
        'status.allocatedResourceStatuses: Unsupported value: "cpu": supported values: "ControllerResizeInProgress", '
        '"ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"',
    ]
