"""What the scheduler knows of a pod, worked out once when the pod is first seen.

Resource rules: https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
(sidecars count for good, other init containers only by their peak), plus `spec.overhead`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from copy import copy
from typing import Any

from kybern.api import quantity as quantities
from kybern.api.types import Object, key_of

DEFAULT_MILLI_CPU = 100
"""CPU that a container without a CPU request counts as when scoring."""
DEFAULT_MEMORY = 200 * 1024 * 1024
"""Bytes that a container without a memory request counts as when scoring."""

Amounts = dict[str, int]
"""Resource name -> whole units: millicores for cpu, bytes or counts for the rest."""


class PodInfo:
    """A pod with its requests added up. `signature` names all that plugins look at; equal ones share results."""

    __slots__ = ("key", "nonzero", "obj", "ports", "priority", "requests", "signature", "slots", "uid")

    def __init__(self, obj: Object) -> None:
        spec = obj["spec"]
        self.obj = obj
        self.key = key_of(obj)
        self.uid: str = obj["metadata"].get("uid", "")
        self.priority: int = spec.get("priority") or 0
        self.requests = total_requests(spec, {})
        self.nonzero = total_requests(spec, {"cpu": DEFAULT_MILLI_CPU, "memory": DEFAULT_MEMORY})
        self.ports = host_ports(spec)
        self.signature: Hashable | None = None
        self.slots: Any = None
        """The node table's memo of the columns and amounts of `requests`."""

    def renewed(self, obj: Object) -> PodInfo:
        """The same pod as a later object of it, whose needs are no others."""
        info = copy(self)
        info.obj = obj
        return info

    @property
    def spec(self) -> Object:
        """`spec` of the pod."""
        return self.obj["spec"]  # type: ignore[no-any-return]

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.obj["metadata"]["name"]  # type: ignore[no-any-return]

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return self.obj["metadata"].get("namespace", "")  # type: ignore[no-any-return]


def container_requests(container: Object, defaults: Mapping[str, int]) -> Amounts:
    """One container's requests; `defaults` fill in what it doesn't name."""
    asked = (container.get("resources") or {}).get("requests") or {}
    amounts = {name: amount(name, quantity) for name, quantity in asked.items()}
    for name, default in defaults.items():
        amounts.setdefault(name, default)
    return amounts


def total_requests(spec: Object, defaults: Mapping[str, int]) -> Amounts:
    """What the pod needs of a node at its peak."""
    running: Amounts = {}
    for container in spec.get("containers") or ():
        _add(running, container_requests(container, defaults))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        needs = container_requests(container, defaults)
        if container.get("restartPolicy") == "Always":
            _add(running, needs)
            _add(sidecars, needs)
            needs = dict(sidecars)
        else:
            _add(needs, sidecars)
        _raise_to(peak, needs)
    _raise_to(running, peak)
    for name, quantity in ((spec.get("resources") or {}).get("requests") or {}).items():
        running[name] = amount(name, quantity)
    _add(running, {name: amount(name, quantity) for name, quantity in (spec.get("overhead") or {}).items()})
    return running


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _raise_to(total: Amounts, floor: Mapping[str, int]) -> None:
    for name, value in floor.items():
        if value > total.get(name, 0):
            total[name] = value


def amount(resource: str, quantity: quantities.Quantity) -> int:
    """A quantity in the unit its resource is counted in."""
    return quantities.milli(quantity) if resource == "cpu" else quantities.whole(quantity)


HostPort = tuple[str, int, str]
"""(protocol, port, address); address 0.0.0.0 means every address."""


def host_ports(spec: Object) -> tuple[HostPort, ...]:
    """The ports of the node that the pod wants for itself."""
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    return tuple(
        (port.get("protocol", "TCP"), port["hostPort"], port.get("hostIP") or "0.0.0.0")
        for container in [*(spec.get("containers") or ()), *sidecars]
        for port in container.get("ports") or ()
        if port.get("hostPort", 0) > 0
    )
