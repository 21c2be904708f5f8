"""The machines of this cloud: the nodes that `kybern up` keeps on this machine, or this machine itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from kybern.api.types import Object
from kybern.cloud import provider
from kybern.cloud.provider import CloudError, Metadata

_SCHEME = "local://"
_WHERE = "local"
"""Zone, region and instance type: there is but one of each."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`stopped`: switched off by `kybern node stop`."""

    name: str
    ip: str
    stopped: bool = False


class Machines:
    """Those in a file, looked up at each question as they come and go; or `only` one."""

    def __init__(self, path: Path | None = None, *, only: Machine | None = None) -> None:
        self._path, self._only = path, only

    def by_name(self) -> dict[str, Machine]:
        """Raises CloudError where the file can't be read."""
        if self._only:
            return {self._only.name: self._only}
        try:
            listed = json.loads(Path(str(self._path)).read_text())["members"]
            return {one["name"]: Machine(one["name"], one["ip"], bool(one.get("stopped"))) for one in listed}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CloudError(f"can't tell which machines there are from {self._path}: {error}") from error


class Instances(provider.Instances):
    """Nodes by name. One of another cloud, or that joined from elsewhere, is none of this one's business."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines

    async def exists(self, node: Object) -> bool:
        return self._find(node) is not None or not node["spec"].get("providerID", "").startswith(_SCHEME)

    async def is_shutdown(self, node: Object) -> bool:
        machine = self._find(node)
        return machine is not None and machine.stopped

    async def metadata(self, node: Object) -> Metadata | None:
        machine = self._find(node)
        if machine is None:
            return None
        addresses = [{"type": "InternalIP", "address": machine.ip}, {"type": "Hostname", "address": machine.name}]
        return Metadata(f"{_SCHEME}{machine.name}", addresses, _WHERE, _WHERE, _WHERE)

    def _find(self, node: Object) -> Machine | None:
        known = node["spec"].get("providerID", "")
        if known and not known.startswith(_SCHEME):
            return None
        return self._machines.by_name().get(known.removeprefix(_SCHEME) or node["metadata"]["name"])
