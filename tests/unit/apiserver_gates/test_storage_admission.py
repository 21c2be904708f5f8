from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core.persistentvolume import PersistentVolume
from kybern.api.core.persistentvolumeclaim import PersistentVolumeClaim
from kybern.api.errors import Forbidden
from kybern.api.resource import Resource
from kybern.api.storage.volumeattributesclass import VolumeAttributesClass
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes
from kybern.apiserver.admission.defaultstorageclass import DefaultStorageClass
from kybern.apiserver.admission.persistentvolumeclaimresize import PersistentVolumeClaimResize
from kybern.apiserver.admission.storageobjectinuseprotection import StorageObjectInUseProtection
from kybern.apiserver.request import UserInfo
from tests.unit.apiserver_gates.fakes import FakeLister
from tests.unit.apiserver_gates.test_admission import app

DEFAULT = "storageclass.kubernetes.io/is-default-class"
BETA = "volume.beta.kubernetes.io/storage-class"


def storage_class(name: str, *, default: bool = False, made: str = "2030-01-01T00:00:00Z", **fields: Any) -> Object:
    annotations = {DEFAULT: "true"} if default else {}
    return {"metadata": {"name": name, "creationTimestamp": made, "annotations": annotations}, **fields}


def claim(size: str = "1Gi", phase: str = "Bound", **spec: Any) -> Object:
    spec = {"resources": {"requests": {"storage": size}}, **spec}
    return {"metadata": {"name": "c", "namespace": "ns"}, "spec": spec, "status": {"phase": phase}}


def write(new: Object, old: Object | None = None, kind: Resource | None = None) -> Attributes:
    operation = UPDATE if old else CREATE
    return Attributes(operation, kind or PersistentVolumeClaim(), "ns", "c", UserInfo("u", ()), new, old)


async def test_claims_get_the_newest_default_class() -> None:
    classes = [
        storage_class("old", default=True, made="2029-01-01T00:00:00Z"),
        storage_class("b", default=True),
        storage_class("a", default=True),
        storage_class("newest", made="2031-01-01T00:00:00Z"),
    ]
    plugin = DefaultStorageClass(app(storageclasses=FakeLister(*classes)))
    made = claim()
    await plugin.admit(write(made))
    assert made["spec"]["storageClassName"] == "a"
    annotated = claim()
    annotated["metadata"]["annotations"] = {BETA: "mine"}
    for kept in (claim(storageClassName=""), claim(storageClassName="mine"), annotated):
        before = kept["spec"].get("storageClassName")
        await plugin.admit(write(kept))
        assert kept["spec"].get("storageClassName") == before


async def test_without_a_default_class_claims_stay_as_they_are() -> None:
    made = claim()
    await DefaultStorageClass(app(storageclasses=FakeLister(storage_class("a")))).admit(write(made))
    assert "storageClassName" not in made["spec"]


@pytest.mark.parametrize(
    ("kind", "finalizer"),
    [
        (PersistentVolume(), "kubernetes.io/pv-protection"),
        (PersistentVolumeClaim(), "kubernetes.io/pvc-protection"),
        (VolumeAttributesClass(), "kubernetes.io/vac-protection"),
    ],
)
async def test_what_is_used_is_protected(kind: Resource, finalizer: str) -> None:
    plugin, made = StorageObjectInUseProtection(app()), claim()
    made["metadata"]["finalizers"] = ["example.com/own"]
    for _ in range(2):
        await plugin.admit(write(made, kind=kind))
    assert made["metadata"]["finalizers"] == ["example.com/own", finalizer]


GROWS = storage_class("grows", allowVolumeExpansion=True)


@pytest.mark.parametrize(
    ("new", "old", "why"),
    [
        (claim("2Gi", storageClassName="grows"), claim(storageClassName="grows"), ""),
        (claim("1Gi", storageClassName="fixed"), claim("2Gi", storageClassName="fixed"), ""),
        (claim("2Gi", storageClassName="grows"), claim(phase="Pending", storageClassName="grows"), "Only bound"),
        (claim("2Gi", storageClassName="fixed"), claim(storageClassName="fixed"), "only dynamically provisioned pvc"),
        (claim("2Gi", storageClassName="grows"), claim(storageClassName="fixed"), "only dynamically provisioned pvc"),
        (claim("2Gi"), claim(), "only dynamically provisioned pvc"),
        (claim("2Gi", storageClassName="none"), claim(storageClassName="none"), "only dynamically provisioned pvc"),
    ],
)
async def test_bound_claims_grow_where_their_class_lets_them(new: Object, old: Object, why: str) -> None:
    plugin = PersistentVolumeClaimResize(app(storageclasses=FakeLister(GROWS, storage_class("fixed"))))
    if not why:
        await plugin.validate(write(new, old))
        return
    with pytest.raises(Forbidden, match=f'persistentvolumeclaims "c" is forbidden: {why}'):
        await plugin.validate(write(new, old))
