"""v1beta1's shapes: requests are flat, and a device's properties are below `basic`.

v1 is what is stored; v1beta2 looks the same. Nothing here changes its argument.
"""

from __future__ import annotations

from typing import Any

from kybern.api.resource import Deprecated
from kybern.api.types import Object

FLAT = "v1beta1"
DEPRECATED = {"v1beta2": Deprecated(36, 39), "v1beta1": Deprecated(35, 38)}
_EXACTLY = (
    "deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity",
)  # fmt: skip


def version_of(obj: Object) -> str:
    """The version of an object's apiVersion."""
    return str(obj.get("apiVersion", "")).rpartition("/")[2]


def flat_claim(spec: Object) -> Object:
    """A claim's spec as v1beta1 has it."""
    return _with_requests(spec, lambda request: {**_without(request, "exactly"), **(request.get("exactly") or {})})


def full_claim(spec: Object) -> Object:
    """A claim's spec of v1beta1 as v1 has it."""
    return _with_requests(spec, _full_request)


def _full_request(request: Object) -> Object:
    exactly = {key: request[key] for key in _EXACTLY if key in request}
    rest = {key: value for key, value in request.items() if key not in _EXACTLY}
    return {**rest, "exactly": exactly} if exactly else rest


def _with_requests(spec: Object, change: Any) -> Object:
    devices = spec.get("devices")
    if not devices or not devices.get("requests"):
        return spec
    return {**spec, "devices": {**devices, "requests": [change(request) for request in devices["requests"]]}}


def _without(obj: Object, key: str) -> Object:
    return {name: value for name, value in obj.items() if name != key}


def flat_slice(spec: Object) -> Object:
    """A ResourceSlice's spec as v1beta1 has it."""
    if not spec.get("devices"):
        return spec
    return {**spec, "devices": [{"name": one.get("name"), "basic": _without(one, "name")} for one in spec["devices"]]}


def full_slice(spec: Object) -> Object:
    """A ResourceSlice's spec of v1beta1 as v1 has it."""
    if not spec.get("devices"):
        return spec
    return {**spec, "devices": [{**_without(one, "basic"), **(one.get("basic") or {})} for one in spec["devices"]]}
