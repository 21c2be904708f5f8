from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from tests.unit.api.checking import changed, problems

from kybern.api.dra.deviceclass import DeviceClass
from kybern.api.dra.resourceclaim import ResourceClaim
from kybern.api.dra.resourceclaimtemplate import ResourceClaimTemplate
from kybern.api.dra.resourceslice import ResourceSlice
from kybern.api.types import Object

EXACTLY = {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}
CLAIM: Object = {"spec": {"devices": {"requests": [EXACTLY]}}}
CHOICE = {"name": "any", "firstAvailable": [{"name": "big", "deviceClassName": "c"}]}
SLICE: Object = {
    "spec": {
        "driver": "d.example.com", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "one", "attributes": {"model": {"string": "x"}}, "capacity": {"mem": {"value": "8Gi"}}}],
    }
}  # fmt: skip
COSTLY = (
    "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, device.attributes.all(d, "
    "device.attributes[a][b] == device.attributes[c][d]))))"
)
REQUEST, DEVICE = "spec.devices.requests", "spec.devices"
_REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


def claim(**devices: Any) -> Object:
    return {"spec": {"devices": {"requests": copy.deepcopy([EXACTLY, CHOICE]), **devices}}}


def test_one_device_is_what_is_asked_for_without_more() -> None:
    made = claim()
    ResourceClaim().default(made)
    exactly, choice = made["spec"]["devices"]["requests"]
    assert exactly["exactly"] | {"count": 1, "allocationMode": "ExactCount"} == exactly["exactly"]
    assert choice["firstAvailable"][0]["count"] == 1


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (claim(), []),
        ({"spec": {"devices": {"requests": [{"name": "a"}]}}},
         [f"{REQUEST}[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"]),
        ({"spec": {"devices": {"requests": [{**EXACTLY, **CHOICE}]}}},
         [f"{REQUEST}[0]: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple "
          "fields are set"]),
        ({"spec": {"devices": {"requests": [EXACTLY, EXACTLY]}}}, [f'{REQUEST}[1]: Duplicate value: "gpu"']),
        ({"spec": {"devices": {"requests": [{**EXACTLY, "name": f"r{i}"} for i in range(33)]}}},
         [f"{REQUEST}: Too many: 33: must have at most 32 items"]),
        (changed(CLAIM, f"{REQUEST}.0.exactly.deviceClassName", ""),
         [f"{REQUEST}[0].exactly.deviceClassName: Required value"]),
        (changed(CLAIM, f"{REQUEST}.0.exactly", {"deviceClassName": "c", "allocationMode": "All", "count": 2}),
         [f"{REQUEST}[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"]),
        (changed(CLAIM, f"{REQUEST}.0.exactly", {"deviceClassName": "c", "allocationMode": "Some"}),
         [f'{REQUEST}[0].exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"']),
        (changed(CLAIM, f"{REQUEST}.0.exactly.selectors", [{"cel": {"expression": "device.driver"}}]),
         [f'{REQUEST}[0].exactly.selectors[0].cel.expression: Invalid value: "device.driver": must evaluate to bool or '
          "the unknown type, not string"]),
        (changed(CLAIM, f"{REQUEST}.0.exactly.selectors", [{"cel": {"expression": COSTLY}}]),
         [f"{REQUEST}[0].exactly.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit"]),
        (changed(CLAIM, f"{REQUEST}.0.exactly.tolerations", [{"operator": "Exists", "value": "v"}]),
         [f'{REQUEST}[0].exactly.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`']),
        (changed(CLAIM, f"{REQUEST}.0.exactly.tolerations", [{"operator": "Exists"}] * 17),
         [f"{REQUEST}[0].exactly.tolerations: Too many: 17: must have at most 16 items"]),
        (claim(constraints=[{"requests": ["gpu", "any/big", "none"], "matchAttribute": "a.b/c"}]),
         [f'spec.devices.constraints[0].requests[2]: Invalid value: "none": {_REFERENCE}']),
        (claim(constraints=[{"matchAttribute": "model"}]),
         ['spec.devices.constraints[0].matchAttribute: Invalid value: "model": a fully qualified name must be a domain '
          "and a name separated by a slash"]),
        (claim(config=[{"opaque": {"driver": "d.example.com", "parameters": [1]}}]),
         ['spec.devices.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object']),
        (claim(config=[{}]), ["spec.devices.config[0].opaque: Required value"]),
    ],
)  # fmt: skip
def test_claims(made: Object, expected: list[str]) -> None:
    assert problems(ResourceClaim(), made) == expected
    template = {"spec": {"spec": made["spec"]}}
    moved = [text.replace("spec.devices", "spec.spec.devices") for text in expected]
    assert problems(ResourceClaimTemplate(), template) == moved


def test_claims_and_templates_stay_as_they_are() -> None:
    found = problems(ResourceClaim(), claim(), CLAIM)
    assert [text.partition(": ")[0] for text in found] == ["spec"]
    template = {"spec": {"spec": CLAIM["spec"]}}
    found = problems(ResourceClaimTemplate(), changed(template, "spec.metadata", {"labels": {"a": "b"}}), template)
    assert [text.partition(": ")[0] for text in found] == ["spec"]


RESULT = {"request": "gpu", "driver": "d.example.com", "pool": "p", "device": "one"}
ALLOCATED = changed(CLAIM, "status", {"allocation": {"devices": {"results": [RESULT]}}})
USER = {"resource": "pods", "name": "p", "uid": "u"}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("status.reservedFor", [USER], []),
        ("status.reservedFor", [USER, USER], ['status.reservedFor[1]: Duplicate value: "u"']),
        ("status.allocation", None, []),
        ("status.allocation.devices.results.0.device", "two", ["status.allocation"]),
        ("status.devices", [{**RESULT, "device": "two"}],
         ['status.devices[0]: Invalid value: "d.example.com/p/two": must be an allocated device in the claim']),
        ("status.devices", [{**RESULT, "networkData": {"ips": ["10.0.0.1"]}}],
         ['status.devices[0].networkData.ips[0]: Invalid value: "10.0.0.1": must be a valid address in CIDR form, '
          "(e.g. 10.9.8.7/24 or 2001:db8::1/64)"]),
    ],
)  # fmt: skip
def test_status_of_claims(path: str, value: Any, expected: list[str]) -> None:
    found = problems(ResourceClaim(), changed(ALLOCATED, path, value), ALLOCATED, "status")
    shown = [text.partition(": ")[0] if expected == ["status.allocation"] else text for text in found]
    assert shown == expected


def test_only_what_is_allocated_is_reserved() -> None:
    made = changed(CLAIM, "status", {"reservedFor": [USER]})
    assert problems(ResourceClaim(), made, CLAIM, "status") == [
        "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"
    ]
    found = problems(ResourceClaim(), changed(ALLOCATED, "status.allocation.devices.results.0.request", "x"), CLAIM,
                     "status")  # fmt: skip
    assert found == [f'status.allocation.devices.results[0].request: Invalid value: "x": {_REFERENCE}']


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.nodeName", None,
         ["spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is "
          "required"]),
        ("spec.allNodes", True,
         ['spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, '
          "`perDeviceNodeSelection` is required, but multiple fields are set"]),
        ("spec.allNodes", False, ["spec.allNodes: Invalid value: false: must be either unset or set to true"]),
        ("spec.pool.resourceSliceCount", 0,
         ["spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero"]),
        (f"{DEVICE}.0.attributes", {"model": {}},
         [f'{DEVICE}[0].attributes[model]: Invalid value: "": exactly one value must be specified']),
        (f"{DEVICE}.0.attributes", {"v": {"version": "1"}},
         [f'{DEVICE}[0].attributes[v].version: Invalid value: "1": must be a string compatible with semver.org spec '
          "2.0.0"]),
        (f"{DEVICE}.0.nodeName", "n",
         [f"{DEVICE}[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if "
          "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"]),
        (f"{DEVICE}.0.capacity", {"mem": {"value": "1", "requestPolicy": {"default": "1"}}},
         [f"{DEVICE}[0].capacity[mem].requestPolicy: Forbidden: allowMultipleAllocations must be true"]),
        (f"{DEVICE}.0.taints", [{"key": "a", "effect": "Never"}],
         [f'{DEVICE}[0].taints[0].effect: Unsupported value: "Never": supported values: "NoExecute", "NoSchedule", '
          '"None"']),
        (f"{DEVICE}.0.bindingConditions", ["a"],
         [f"{DEVICE}[0].bindingFailureConditions: Invalid value: []: bindingFailureConditions are required to use "
          "bindingConditions"]),
        ("spec.sharedCounters", [{"name": "s", "counters": {"c": {"value": "1"}}}],
         ['spec: Invalid value: "": only one of `sharedCounters` or `devices` is allowed']),
    ],
)  # fmt: skip
def test_slices(path: str, value: Any, expected: list[str]) -> None:
    assert problems(ResourceSlice(), changed(SLICE, path, value)) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"default": "2", "validValues": ["1", "2"]}, []),
        ({"default": "3", "validValues": ["2", "1"]},
         ["validValues[1]: values must be sorted in ascending order",
          "validValues: default value is not valid according to the requestPolicy"]),
        ({"validRange": {"min": "1"}}, ["default: required when validRange is defined"]),
        ({"default": "3", "validRange": {"min": "1", "max": "9", "step": "2"}}, []),
        ({"default": "2", "validRange": {"min": "1", "max": "9", "step": "3"}},
         ["validRange.step: value is not a multiple of a given step (3) from (1)"] * 2),
        ({"default": "2", "validRange": {"min": "11"}},
         ["validRange.min: min is larger than capacity value: 10", "validRange.default: default is less than min: 11"]),
    ],
)  # fmt: skip
def test_shared_capacities(policy: Object, expected: list[str]) -> None:
    shared = changed(SLICE, f"{DEVICE}.0.allowMultipleAllocations", True)
    found = problems(
        ResourceSlice(), changed(shared, f"{DEVICE}.0.capacity", {"m": {"value": "10", "requestPolicy": policy}})
    )
    start = re.compile(re.escape(f"{DEVICE}[0].capacity[m].requestPolicy."))
    assert [re.sub("(Invalid value: [^:]*|Required value): ", "", start.sub("", text)) for text in found] == expected


def test_what_stays_of_a_slice() -> None:
    for path in ("spec.driver", "spec.nodeName", "spec.pool.name"):
        assert problems(ResourceSlice(), changed(SLICE, path, "other"), SLICE) == [
            f'{path}: Invalid value: "other": field is immutable'
        ]


def test_slices_are_found_by_node_and_driver() -> None:
    assert ResourceSlice().selectable(SLICE) == {"spec.driver": "d.example.com", "spec.nodeName": "n"}


def test_classes() -> None:
    assert problems(DeviceClass(), {"spec": {"extendedResourceName": "example.com/gpu"}}) == []
    assert problems(DeviceClass(), {"spec": {"extendedResourceName": "cpu"}}) == [
        'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name'
    ]
    old = {"spec": {"selectors": [{"cel": {"expression": "device.gone"}}]}}
    assert problems(DeviceClass(), old, old) == []
    assert len(problems(DeviceClass(), old)) == 1


def test_the_first_shape_of_claims_and_slices() -> None:
    flat = ResourceClaim().convert({"apiVersion": "resource.k8s.io/v1", **claim()}, "v1beta1")
    assert flat["spec"]["devices"]["requests"] == [{"name": "gpu", "deviceClassName": "gpu.example.com"}, CHOICE]
    assert ResourceClaim().convert(flat, "v1") == {"apiVersion": "resource.k8s.io/v1", **claim()}
    template = {"apiVersion": "resource.k8s.io/v1", "spec": {"spec": claim()["spec"]}}
    flat = ResourceClaimTemplate().convert(template, "v1beta1")
    assert flat["spec"]["spec"]["devices"]["requests"][0] == {"name": "gpu", "deviceClassName": "gpu.example.com"}
    assert ResourceClaimTemplate().convert(flat, "v1") == template
    flat = ResourceSlice().convert({"apiVersion": "resource.k8s.io/v1", **SLICE}, "v1beta1")
    assert set(flat["spec"]["devices"][0]) == {"name", "basic"}
    assert ResourceSlice().convert(flat, "v1")["spec"] == SLICE["spec"]
