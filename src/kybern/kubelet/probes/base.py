"""The contract of a probe mechanism."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kybern.api.types import Object
from kybern.kubelet.runtime.client import RuntimeClient


@dataclass(frozen=True, slots=True)
class Target:
    """What is probed."""

    runtime: RuntimeClient
    container: Object
    """Its spec."""
    container_id: str
    ip: str
    """The pod's address."""

    def port(self, port: int | str) -> int:
        """A port by number, or by name among the container's ports. Raises ProbeError."""
        if isinstance(port, int) or port.isdigit():
            return int(port)
        for declared in self.container.get("ports") or []:
            if declared.get("name") == port:
                return int(declared["containerPort"])
        raise ProbeError(f"couldn't find port: {port}")


class ProbeError(Exception):
    """The probe couldn't be carried out: neither a success nor a failure of the container."""


class Probe(Protocol):
    """A mechanism. Stateless."""

    field: str
    """The field of a probe or lifecycle handler that selects it, e.g. `httpGet`."""

    async def probe(self, target: Target, action: Object, timeout: float) -> tuple[bool, str]:
        """Success, and what is said of it. `action` is the field's value, `timeout` in seconds. Raises ProbeError."""
