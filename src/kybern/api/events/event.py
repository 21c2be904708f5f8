"""Event, events.k8s.io/v1: the core Event in another shape. What is stored, and what the hooks see, is core v1.

Source: API reference, Event v1 events.k8s.io.
"""

from __future__ import annotations

from kybern.api.core.event import COLUMNS, INVOLVED
from kybern.api.core.event import Event as CoreEvent
from kybern.api.types import Object

_TO_CORE = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_FROM_CORE = {core: new for new, core in _TO_CORE.items()}
_GROUP = "events.k8s.io"


class Event(CoreEvent):
    group = _GROUP
    storage_prefix = "events"
    columns = COLUMNS
    selectable_fields = (
        *(f"regarding.{name}" for name in INVOLVED), "reason", "reportingController", "type",
    )  # fmt: skip

    def convert(self, obj: Object, version: str) -> Object:
        """`obj` may be in either shape; see its apiVersion. Gives events.k8s.io's."""
        if str(obj.get("apiVersion", "")).startswith(_GROUP):
            return {**obj, "apiVersion": f"{_GROUP}/{version}"}
        renamed = {_FROM_CORE.get(key, key): value for key, value in obj.items()}
        return {**renamed, "apiVersion": f"{_GROUP}/{version}"}

    def to_storage(self, obj: Object) -> Object:
        if obj.get("apiVersion") == "v1":
            return dict(obj)
        return {**{_TO_CORE.get(key, key): value for key, value in obj.items()}, "apiVersion": "v1"}

    def api_version(self, version: str = "") -> str:
        return f"{_GROUP}/{version}" if version else "v1"
