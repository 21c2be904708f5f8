"""What the API server itself has to tell: Warnings about what it had to repair. The same again only counts up."""

from __future__ import annotations

from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.apiserver.registry import Registry
from kybern.process.clock import clock

_REMEMBERED = 1000


class Recorder:
    """Writes events in the name of a component."""

    def __init__(self, registry: Registry, component: str) -> None:
        self._registry, self._component = registry, component
        self._told: dict[tuple[str, str, str], tuple[str, str]] = {}

    async def warn(self, about: Object, reason: str, message: str, action: str = "") -> None:
        """Tell of an object, which has its kind and apiVersion. Raises APIErrors and StoreErrors of a write."""
        resource = self._registry.scheme.resource("", "events")
        if resource is None:
            return
        key = (about["metadata"].get("uid", ""), reason, message)
        if key in self._told:
            try:
                await self._registry.guaranteed_update(resource, *self._told[key], _again)
                return
            except NotFound:
                del self._told[key]
        event = self._event(about, reason, message, action)
        await self._registry.create(resource, event)
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told[key] = (event["metadata"]["namespace"], event["metadata"]["name"])

    def _event(self, about: Object, reason: str, message: str, action: str) -> Object:
        meta, now = about["metadata"], clock.stamp()
        involved = {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion") if key in meta}
        name = f"{meta['name']}.{int(clock.time() * 1e9):x}"
        return {
            "metadata": {"name": name, "namespace": meta.get("namespace") or "default"},
            "involvedObject": {"kind": about["kind"], "apiVersion": about["apiVersion"], **involved},
            "reason": reason,
            "message": message,
            "type": "Warning",
            "source": {"component": self._component},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "reportingComponent": self._component,
            "reportingInstance": "",
            **({"action": action} if action else {}),
        }


def _again(event: Object) -> Object:
    return {**event, "count": (event.get("count") or 1) + 1, "lastTimestamp": clock.stamp()}
