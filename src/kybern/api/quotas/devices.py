"""ResourceClaims: their number, and the devices of each class that they may take, also by the names under which pods
ask for such devices as extended resources.

Source: Kubernetes documentation, "Resource Quotas": Quota for devices; KEP-4381, KEP-5004.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from kybern.api.cells import at
from kybern.api.quotas.amounts import Amounts, above
from kybern.api.quotas.evaluator import CREATE, UPDATE, Evaluator
from kybern.api.quotas.pods import DEVICE_CLASS, REQUESTS, Pods, is_extended_request
from kybern.api.types import Object

MAX_DEVICES = 32
"""The most that one claim may be given, and so what `All` may come to."""
FOR_EXTENDED = "resource.kubernetes.io/extended-resource-claim"
"""Annotation of claims that schedulers make for pods that ask for extended resources."""
_COUNT = "count/resourceclaims.resource.k8s.io"
_BY_CLASS = ".deviceclass.resource.k8s.io/devices"
_IMPLICIT = f"{REQUESTS}{DEVICE_CLASS}"


class Surroundings(Protocol):
    """What else there is that the cost of a claim depends on."""

    def extended_resource(self, device_class: str) -> str:
        """The extended resource that devices of a class are; "" for none."""
        ...

    def has_class(self, extended_resource: str) -> bool:
        """Whether there is a class of devices that are this resource."""
        ...

    def pod(self, namespace: str, name: str) -> Object | None: ...

    def claims(self, namespace: str) -> Iterable[Object]: ...


class Nothing:
    """No classes, no pods."""

    def extended_resource(self, device_class: str) -> str:
        return ""

    def has_class(self, extended_resource: str) -> bool:
        return False

    def pod(self, namespace: str, name: str) -> Object | None:
        return None

    def claims(self, namespace: str) -> Iterable[Object]:
        return ()


class ResourceClaims(Evaluator):
    """See the module."""

    counts_updates = True

    def __init__(self, around: Surroundings, pods: Pods) -> None:
        super().__init__("resource.k8s.io", "resourceclaims")
        self._around, self._pods = around, pods

    def matching(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name == _COUNT or name.endswith(_BY_CLASS) or self._is_extended(name)]

    def _is_extended(self, name: str) -> bool:
        if name.startswith(_IMPLICIT):
            return bool(self._around.extended_resource(name.removeprefix(_IMPLICIT)))
        return is_extended_request(name) and self._around.has_class(name.removeprefix(REQUESTS))

    def handles(self, operation: str, subresource: str, obj: Object, old: Object | None) -> bool:
        return not subresource and operation in (CREATE, UPDATE)

    def usage(self, obj: Object) -> Amounts:
        devices = _devices(obj)
        used = {_COUNT: "1", **{f"{name}{_BY_CLASS}": str(number) for name, number in devices.items()}}
        extended: dict[str, int] = {}
        for name, number in devices.items():
            extended[f"{_IMPLICIT}{name}"] = number
            if resource := self._around.extended_resource(name):
                extended[f"{REQUESTS}{resource}"] = extended.get(f"{REQUESTS}{resource}", 0) + number
        # What the pod was charged for already isn't charged again.
        pod = self._pod_of(obj)
        charged = self._pods.usage(pod) if pod is not None else {}
        for name, number in extended.items():
            left = above({name: str(number)}, {name: charged[name]} if name in charged else {})[name]
            if left != "0":
                used[name] = left
        return used

    def _pod_of(self, claim: Object) -> Object | None:
        """The pod that asked for the claim's devices as extended resources. Others can't pretend: it is one claim."""
        owner = _owner(claim)
        if owner is None:
            return None
        metadata = claim["metadata"]
        namespace = metadata.get("namespace", "")
        pod = self._around.pod(namespace, owner.get("name", ""))
        if pod is None or pod["metadata"]["uid"] != owner.get("uid"):
            return None
        said = at(pod, "status", "extendedResourceClaimStatus")
        if said is not None:
            return pod if said.get("resourceClaimName") == metadata.get("name") else None
        age = _age(claim)
        for other in self._around.claims(namespace):
            its = _owner(other)
            if its is not None and its.get("uid") == owner.get("uid") and _age(other) < age:
                return None
        return pod


def extended_resources(classes: Iterable[Object]) -> dict[str, str]:
    """By the names of device classes, the extended resources that their devices are."""
    named = {one["metadata"]["name"]: at(one, "spec", "extendedResourceName") for one in classes}
    return {name: str(resource) for name, resource in named.items() if resource}


def _owner(claim: Object) -> Object | None:
    """The pod that a claim made for extended resources belongs to, as an owner reference."""
    metadata = claim["metadata"]
    if (metadata.get("annotations") or {}).get(FOR_EXTENDED) != "true":
        return None
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            return owner if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Pod") else None
    return None


def _age(claim: Object) -> tuple[str, str]:
    metadata = claim["metadata"]
    return metadata.get("creationTimestamp") or "", metadata.get("name") or ""


def _devices(claim: Object) -> dict[str, int]:
    """How many of each class it may take."""
    devices: dict[str, int] = {}
    for request in at(claim, "spec", "devices", "requests") or ():
        # Of alternatives the greediest of each class counts.
        worst: dict[str, int] = {}
        for part in request.get("firstAvailable") or (request.get("exactly") or request,):
            name = part.get("deviceClassName")
            if name:
                worst[name] = max(worst.get(name, 0), _number(part))
        for name, number in worst.items():
            devices[name] = devices.get(name, 0) + number
    return devices


def _number(request: Object) -> int:
    match request.get("allocationMode") or "ExactCount":
        case "ExactCount":
            return int(request.get("count") or 1)
        case "All":
            return MAX_DEVICES
    return 0
