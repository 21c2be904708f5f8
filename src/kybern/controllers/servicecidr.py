"""Ranges of cluster addresses become ready, and stay until no Service has an address of theirs alone.

Source: KEP-1880 Multiple Service CIDRs; API reference, ServiceCIDR v1 networking.k8s.io.
"""

from __future__ import annotations

from kybern.api.addresses import Network, address, network
from kybern.api.cells import at
from kybern.api.networking.ipaddress import ALLOCATOR, MANAGED_BY
from kybern.api.networking.servicecidr import FINALIZER, READY, TERMINATING
from kybern.api.types import Object
from kybern.controllers import conditions
from kybern.controllers.controller import Context, Controller
from kybern.controllers.owners import is_deleting
from kybern.process.clock import clock, parse_time

_GRACE_SECONDS = 10.0
"""How long after its deletion a range goes at the earliest: API servers may not have heard of it yet."""
_STILL_USED = (
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
)


class ServiceCIDRController(Controller):
    name = "service-cidr-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.ranges = self.informer("networking.k8s.io/v1", "servicecidrs", namespaced=False)
        self.addresses = self.informer("networking.k8s.io/v1", "ipaddresses", namespaced=False)
        self._ranges = self.client.resource("networking.k8s.io/v1", "servicecidrs", namespaced=False)
        self.watch(self.ranges, self._overlapping)
        self.addresses.on_change(self._address_changed)

    def _overlapping(self, changed: Object) -> list[str]:
        """The range itself, and those that it shares addresses with: they may be free to go now."""
        name, mine = changed["metadata"]["name"], networks(changed)
        others = [
            other["metadata"]["name"]
            for other in self.ranges.list()
            if any(a.version == b.version and a.overlaps(b) for a in mine for b in networks(other))
        ]
        return [name, *(other for other in others if other != name)]

    def _address_changed(self, old: Object | None, new: Object | None) -> None:
        # Only the end of an address lets a range go.
        if old is not None and new is None:
            for obj in self.ranges.list():
                if is_deleting(obj) and _has(obj, old["metadata"]["name"]):
                    self.queue.add(obj["metadata"]["name"])

    async def reconcile(self, key: str) -> float | None:
        found = self.ranges.get(key)
        if found is None:
            return None
        if is_deleting(found):
            return await self._end(found)
        if FINALIZER not in (found["metadata"].get("finalizers") or ()):
            await self._set_finalizers(found, [*(found["metadata"].get("finalizers") or ()), FINALIZER])
        ready = conditions.find(found.get("status"), READY)
        if ready is None or ready["status"] != "True":
            await self._set_ready(found, "True", "", "Kubernetes Service CIDR is ready")
        return None

    async def _end(self, found: Object) -> float | None:
        held = found["metadata"].get("finalizers") or []
        if FINALIZER not in held:
            return None
        if not removable(found, self.ranges.list(), self.addresses.list()):
            await self._set_ready(found, "False", TERMINATING, _STILL_USED)
            return None
        left = _GRACE_SECONDS - (clock.time() - parse_time(found["metadata"]["deletionTimestamp"]))
        if left > 0:
            return left
        await self._set_finalizers(found, [one for one in held if one != FINALIZER])
        return None

    async def _set_finalizers(self, found: Object, finalizers: list[str]) -> None:
        meta = found["metadata"]
        changed = {"resourceVersion": meta["resourceVersion"], "finalizers": finalizers}
        await self._ranges.patch(meta["name"], {"metadata": changed}, type="merge")

    async def _set_ready(self, found: Object, status: str, reason: str, message: str) -> None:
        current = conditions.find(found.get("status"), READY) or {}
        if current.get("status") == status and current.get("reason") == reason:
            return
        condition = conditions.make(READY, status, reason, message)
        patch = {"status": {"conditions": [condition]}}
        await self._ranges.patch(found["metadata"]["name"], patch, type="strategic", subresource="status")


def networks(obj: Object) -> list[Network]:
    """The ranges of a ServiceCIDR."""
    found = [network(text) for text in at(obj, "spec", "cidrs") or []]
    return [one for one in found if one is not None]


def _has(obj: Object, name: str) -> bool:
    ip = address(name)
    return ip is not None and any(one.version == ip.version and ip in one for one in networks(obj))


def removable(found: Object, ranges: list[Object], addresses: list[Object]) -> bool:
    """Whether a ServiceCIDR can go: each address that the API server gave out of it is of another that stays, too."""
    staying = [obj for obj in ranges if obj["metadata"]["name"] != found["metadata"]["name"] and not is_deleting(obj)]
    for obj in addresses:
        name = obj["metadata"]["name"]
        if (obj["metadata"].get("labels") or {}).get(MANAGED_BY) != ALLOCATOR or not _has(found, name):
            continue
        if not any(_has(other, name) for other in staying):
            return False
    return True
