"""The bytes of objects in protobuf, as upstream's generated code writes them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kybern.api import protobuf
from kybern.api.protobuf_encode import Unencodable, delimited, encode, encoder, varint
from kybern.api.types import Object

META = b"\x0a\x00\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00"
"""ObjectMeta of which nothing is said: six empty texts, no generation, no time of creation."""


def raw(kind: str, obj: Object, api_version: str = "v1") -> bytes:
    return encoder(api_version, kind)(obj)


def test_the_envelope() -> None:
    head = b"k8s\x00\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x12\x0a\x10"
    assert encode({"kind": "ConfigMap", "apiVersion": "v1"}) == head + META + b"\x1a\x00\x22\x00"


def test_what_cannot_be_absent_is_written_as_zero() -> None:
    port = b"\x0a\x00\x12\x00\x18\x50\x22\x06\x08\x00\x10\x00\x1a\x00\x28\x00"
    assert port in raw("Service", {"spec": {"ports": [{"port": 80}]}})
    lease = raw("Lease", {"metadata": {"name": "l"}, "spec": {}}, "coordination.k8s.io/v1")
    assert lease == b"\x0a" + delimited(META.replace(b"\x0a\x00", b"\x0a\x01l", 1)) + b"\x12\x00"
    env = [{"valueFrom": {"resourceFieldRef": {"resource": "r"}}}]
    divided = b"\x0a\x00\x12\x01r\x1a\x03\x0a\x010"
    assert divided in raw("Pod", {"spec": {"containers": [{"env": env}]}})  # by 0, which stands for 1


def test_what_was_set_to_zero_is_told_from_what_was_not() -> None:
    assert raw("DeleteOptions", {}) == raw("DeleteOptions", {"gracePeriodSeconds": None, "dryRun": []}) == b""
    asked = {"gracePeriodSeconds": 0, "orphanDependents": False, "propagationPolicy": ""}
    assert raw("DeleteOptions", asked) == b"\x08\x00\x18\x00\x22\x00"


def test_maps_are_in_the_order_of_their_keys() -> None:
    entries = b"\x12\x06\x0a\x01a\x12\x01z\x12\x05\x0a\x01b\x12\x00\x12\x07\x0a\x02\xc3\xbc\x12\x01y"
    assert raw("ConfigMap", {"data": {"ü": "y", "b": "", "a": "z"}}) == b"\x0a\x10" + META + entries
    assert raw("ConfigMap", {"binaryData": {"k": "AAE="}}).endswith(b"\x1a\x07\x0a\x01k\x12\x02\x00\x01")


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (1 << 62, "808080808080808040"), (-1, "ff" * 9 + "01")],
)
def test_numbers(value: int, written: str) -> None:
    assert varint(value).hex() == written
    assert raw("DeleteOptions", {"gracePeriodSeconds": value}).hex() == f"08{written}"


def test_times() -> None:
    def created(text: str | None) -> bytes:
        return raw("ConfigMap", {"metadata": {"creationTimestamp": text}})[2 + len(META) - 2 :]

    assert created(None) == b"\x42\x00"
    assert created("1970-01-01T00:00:01Z") == b"\x42\x04\x08\x01\x10\x00"
    assert created("1970-01-01T02:00:01.9+02:00") == b"\x42\x04\x08\x01\x10\x00"
    assert created("1969-12-31T23:59:59Z") == b"\x42\x0d\x08" + b"\xff" * 9 + b"\x01\x10\x00"
    budget = raw("PodDisruptionBudget", {"status": {"disruptedPods": {"p": None}}}, "policy/v1")
    assert b"\x12\x05\x0a\x01p\x12\x00" in budget
    spec = {"renewTime": "1970-01-01T00:00:01.000002Z"}
    assert raw("Lease", {"spec": spec}, "coordination.k8s.io/v1").endswith(b"\x12\x07\x22\x05\x08\x01\x10\xd0\x0f")


def test_lists_and_what_lies_in_messages_of_their_own() -> None:
    listed = raw("ConfigMapList", {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {}}]})
    assert listed == b"\x0a\x07\x0a\x00\x12\x017\x1a\x00\x12\x12\x0a\x10" + META
    volumes = [{"name": "v", "configMap": {"name": "m"}}, {"name": "e", "emptyDir": {}}]
    pod = raw("Pod", {"spec": {"volumes": volumes}})
    assert b"\x0a\x0d\x0a\x01v\x12\x08\x9a\x01\x05\x0a\x03\x0a\x01m" in pod
    assert b"\x0a\x09\x0a\x01e\x12\x04\x12\x02\x0a\x00" in pod


def test_parts_of_schemas() -> None:
    schema = {
        "maximum": 1.5, "items": {"type": "string"}, "additionalProperties": False, "enum": [None, {"a": [1]}],
        "dependencies": {"a": ["b"], "c": {"type": "string"}}, "additionalItems": {"minimum": -2},
        "properties": {"p": {"items": [{"type": "integer"}, {"x-kubernetes-int-or-string": True}]}},
    }  # fmt: skip
    version = {"name": "v1", "schema": {"openAPIV3Schema": schema}}
    crd = {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "spec": {"versions": [version]}}
    found = protobuf.decode(encode(crd))["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert found == schema


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        ("ConfigMap", {"unknown": 1}),
        ("Pod", {"spec": {"containers": [{"unknown": None}]}}),
        ("ConfigMap", {"data": {"k": None}}),
        ("ConfigMap", {"data": {"k": "\ud800"}}),
        ("ConfigMap", {"metadata": {"generation": "1"}}),
        ("ConfigMap", {"metadata": {"creationTimestamp": "yesterday"}}),
        ("Secret", {"data": {"k": "A"}}),
        ("Widget", {}),
    ],
)
def test_what_would_be_lost_is_refused(kind: str, obj: Any) -> None:
    with pytest.raises(Unencodable):
        encode({"kind": kind, "apiVersion": "v1", **obj})


@given(st.dictionaries(st.text(), st.text()), st.text(), st.integers(-(1 << 63), (1 << 63) - 1))
def test_any_text_and_number_comes_back(data: dict[str, str], name: str, generation: int) -> None:
    obj = {"metadata": {"name": name, "generation": generation}, "data": data}
    found = protobuf.decode(encode({"kind": "ConfigMap", "apiVersion": "v1", **obj}))
    assert found.get("data", {}) == data
    assert (found["metadata"].get("name", ""), found["metadata"].get("generation", 0)) == (name, generation)
