"""Event, events.k8s.io/v1: the core Event in another shape. What is stored, and what the hooks see, is core v1.

Who writes in this shape keeps stricter rules, and errors name the fields as core v1 does.

Source: API reference, Event v1 events.k8s.io.
"""

from __future__ import annotations

from kybern.api import validation
from kybern.api.core.event import COLUMNS, INVOLVED, TO_CORE, renewed
from kybern.api.core.event import Event as CoreEvent
from kybern.api.field import Errors
from kybern.api.types import Object

_GROUP = "events.k8s.io"
_IMMUTABLE = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type", "eventTime",
    "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip


class Event(CoreEvent):
    group = _GROUP
    storage_prefix = "events"
    validates_name = "dns_subdomain"
    columns = COLUMNS
    selectable_fields = (
        *(f"regarding.{name}" for name in INVOLVED), "reason", "reportingController", "type",
    )  # fmt: skip

    def validate(self, obj: Object, errors: Errors) -> None:
        self.validate_any(obj, "reportingController", errors)
        _check_series(obj, errors)
        if not obj.get("eventTime"):
            errors.required("eventTime")
        if obj.get("type") not in ("Normal", "Warning"):
            errors.invalid("type", "", f"has invalid value: {obj.get('type') or ''}")
        for field in ("firstTimestamp", "lastTimestamp", "count", "source"):
            value = obj.get(field)
            if any(value.values()) if isinstance(value, dict) else value:
                errors.invalid(field, "", "needs to be unset")

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        self.validate_any(obj, "reportingController", errors)
        if obj.get("series") != old.get("series"):
            _check_series(obj, errors)
        for field in _IMMUTABLE:
            shown = "reportingController" if field == "reportingComponent" else field
            validation.unchanged(obj.get(field), old.get(field), shown, errors)

    def convert(self, obj: Object, version: str) -> Object:
        """`obj` may be in either shape; see its apiVersion. Gives events.k8s.io's."""
        if str(obj.get("apiVersion", "")).startswith(_GROUP):
            return {**obj, "apiVersion": f"{_GROUP}/{version}"}
        return renewed(obj)

    def to_storage(self, obj: Object) -> Object:
        if obj.get("apiVersion") == "v1":
            return dict(obj)
        return {**{TO_CORE.get(key, key): value for key, value in obj.items()}, "apiVersion": "v1"}

    def api_version(self, version: str = "") -> str:
        return f"{_GROUP}/{version}" if version else "v1"


def _check_series(obj: Object, errors: Errors) -> None:
    series = obj.get("series")
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        errors.invalid("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        errors.required("series.lastObservedTime")
