from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.checking import changed, problems

from kybern.api.resource import Preparation
from kybern.api.storage.csidriver import CSIDriver
from kybern.api.storage.csinode import CSINode
from kybern.api.storage.csistoragecapacity import CSIStorageCapacity
from kybern.api.storage.storageclass import StorageClass
from kybern.api.storage.volumeattachment import VolumeAttachment
from kybern.api.storage.volumeattributesclass import VolumeAttributesClass

NODE = {"spec": {"drivers": [{"name": "d.example.com", "nodeID": "n", "topologyKeys": ["example.com/zone"]}]}}
ATTACHMENT = {
    "spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "pv"}},
}
CLASS = {"provisioner": "example.com/disk", "parameters": {"a": "b"}}
CSI = {"driver": "d.example.com", "volumeHandle": "h"}


def test_drivers_get_their_defaults() -> None:
    driver: dict[str, Any] = {"metadata": {"name": "d"}, "spec": {}}
    CSIDriver().default(driver)
    assert driver["spec"] == {
        "attachRequired": True, "podInfoOnMount": False, "storageCapacity": False, "seLinuxMount": False,
        "requiresRepublish": False, "fsGroupPolicy": "ReadWriteOnceWithFSType", "volumeLifecycleModes": ["Persistent"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        (
            {"fsGroupPolicy": "Some"},
            ['spec.fsGroupPolicy: Unsupported value: "Some": supported values: "File", "None", '
             '"ReadWriteOnceWithFSType"'],
        ),
        (
            {"volumeLifecycleModes": ["Always"]},
            ['spec.volumeLifecycleModes: Unsupported value: "Always": supported values: "Ephemeral", "Persistent"'],
        ),
        (
            {"tokenRequests": [{"audience": "a", "expirationSeconds": 5}, {"audience": "a"}]},
            ["spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 "
             "minutes", 'spec.tokenRequests[1].audience: Duplicate value: "a"'],
        ),
        (
            {"nodeAllocatableUpdatePeriodSeconds": 5},
            ["spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 5: must be greater than or equal to 10 seconds"],
        ),
        (
            {"serviceAccountTokenInSecrets": True},
            ["spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no "
             "tokenRequests are specified"],
        ),
    ],
)  # fmt: skip
def test_drivers(spec: dict[str, Any], expected: list[str]) -> None:
    assert problems(CSIDriver(), {"spec": spec}) == expected


def test_how_drivers_attach_stays() -> None:
    old = {"spec": {"attachRequired": True}}
    assert problems(CSIDriver(), {"spec": {"attachRequired": False}}, old) == [
        "spec.attachedRequired: Invalid value: false: field is immutable"
    ]
    assert problems(CSIDriver(), {"spec": {"attachRequired": True, "seLinuxMount": True}}, old) == []


def test_nodes() -> None:
    assert problems(CSINode(), NODE) == []
    assert problems(CSINode(), changed(NODE, "spec.drivers.0.nodeID", "")) == ["spec.drivers[0].nodeID: Required value"]
    twice = changed(NODE, "spec.drivers", NODE["spec"]["drivers"] * 2)
    assert problems(CSINode(), twice) == ['spec.drivers[1].name: Duplicate value: "d.example.com"']
    keys = changed(NODE, "spec.drivers.0.topologyKeys", ["a", "a"])
    assert problems(CSINode(), keys) == ['spec.drivers[0]: Duplicate value: "a"']


def test_of_a_nodes_driver_only_the_count_changes() -> None:
    more = changed(NODE, "spec.drivers.0.allocatable", {"count": 9})
    assert problems(CSINode(), more, NODE) == []
    found = problems(CSINode(), changed(NODE, "spec.drivers.0.nodeID", "other"), NODE)
    assert [text.partition(": ")[0] for text in found] == ["spec.drivers"]
    assert found[0].endswith("field is immutable")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, ["spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"]),
        (
            {"persistentVolumeName": ""},
            ["spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName"],
        ),
        ({"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"], "csi": CSI}}, []),
        (
            {"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"], "nfs": {"server": "s", "path": "/"},
                                  "capacity": {"storage": "1"}, "volumeMode": "Block"}},
            ["spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
             "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
             "spec.source.inlineVolumeSpec.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in "
             "the context of inline volumes"],
        ),
    ],
)  # fmt: skip
def test_attachments_have_one_source(source: dict[str, Any], expected: list[str]) -> None:
    found = problems(VolumeAttachment(), changed(ATTACHMENT, "spec.source", source))
    assert [text for text in found if "a lowercase RFC 1123" not in text] == expected


def test_attachments_stay_as_they_are() -> None:
    found = problems(VolumeAttachment(), changed(ATTACHMENT, "spec.nodeName", "m"), ATTACHMENT)
    assert [text.partition(": ")[0] for text in found] == ["spec"]
    status = changed(ATTACHMENT, "status", {"attached": True, "attachError": {"message": "m" * 1025, "errorCode": -1}})
    assert problems(VolumeAttachment(), status, ATTACHMENT, "status") == [
        "status.attachError.message: Too long: may not be more than 262144 bytes",
        "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ]


def test_storage_classes() -> None:
    assert problems(StorageClass(), CLASS) == []
    wrong = {"reclaimPolicy": "Recycle", "volumeBindingMode": "Never", "parameters": {"": "x"}}
    assert problems(StorageClass(), {**CLASS, **wrong}) == [
        'parameters: Invalid value: "": field can not be empty.',
        'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
        'volumeBindingMode: Unsupported value: "Never": supported values: "Immediate", "WaitForFirstConsumer"',
    ]
    expression = {"key": "zone", "values": ["a", "a"]}
    term = {"matchLabelExpressions": [expression, {"key": "zone", "values": []}]}
    path = "allowedTopologies[0].matchLabelExpressions"
    assert problems(StorageClass(), {**CLASS, "allowedTopologies": [term]}) == [
        f'{path}[0].values[1]: Duplicate value: "a"',
        f"{path}[1].values: Required value",
        f'{path}[1].key: Duplicate value: "zone"',
    ]
    assert problems(StorageClass(), {**CLASS, "provisioner": "other"}, CLASS) == [
        'provisioner: Invalid value: "other": field is immutable'
    ]
    assert problems(StorageClass(), {**CLASS, "allowVolumeExpansion": True, "mountOptions": ["ro"]}, CLASS) == []


def test_labels_of_nodes_that_were_renamed_are_told_of() -> None:
    old, new = "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"
    said, prep = f'deprecated since v1.17; use "{new}" instead', Preparation()
    term = {"matchLabelExpressions": [{"key": new, "values": ["a"]}, {"key": old, "values": ["a"]}]}
    StorageClass().prepare_create({**CLASS, "allowedTopologies": [term]}, prep)
    assert prep.warnings == [f"allowedTopologies[0].matchLabelExpressions[1].key: {old} is {said}"]
    prep = Preparation()
    topology = {"matchLabels": {old: "a"}, "matchExpressions": [{"key": old, "operator": "Exists"}]}
    CSIStorageCapacity().prepare_create({"nodeTopology": topology}, prep)
    assert prep.warnings == [
        f"nodeTopology.matchExpressions[0].key: {old} is {said}",
        f"nodeTopology.matchLabels.{old}: {said}",
    ]


def test_classes_of_attributes() -> None:
    made = {"driverName": "d.example.com", "parameters": {"iops": "5"}}
    assert problems(VolumeAttributesClass(), made) == []
    assert problems(VolumeAttributesClass(), {"driverName": "", "parameters": {}}) == [
        "driverName: Required value",
        "parameters: Required value: must contain at least one key/value pair",
    ]
    assert problems(VolumeAttributesClass(), {**made, "parameters": {"iops": "6"}}, made) == [
        "parameters: Forbidden: updates to parameters are forbidden."
    ]


def test_capacities() -> None:
    made = {"storageClassName": "c", "capacity": "1Gi", "nodeTopology": {"matchLabels": {"a": "b"}}}
    assert problems(CSIStorageCapacity(), made) == []
    assert problems(CSIStorageCapacity(), {**made, "capacity": "-1"}) == [
        'capacity: Invalid value: "-1": must be greater than or equal to 0'
    ]
    assert problems(CSIStorageCapacity(), {**made, "capacity": "2Gi"}, made) == []
    assert problems(CSIStorageCapacity(), {**made, "storageClassName": "d"}, made) == [
        'storageClassName: Invalid value: "d": field is immutable'
    ]
