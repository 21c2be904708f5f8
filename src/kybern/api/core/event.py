"""Event, v1: stored for an hour. events.k8s.io Event is the same stored object in another shape (events/event.py).

Source: API reference, Event v1 core.
"""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import durations, names
from kybern.api.cells import at, text
from kybern.api.field import Errors
from kybern.api.resource import Column, Resource
from kybern.api.types import Object


def first_seen(obj: Object) -> str:
    """How long ago the event was first seen."""
    return durations.since(obj.get("firstTimestamp") or obj.get("eventTime"))


def last_seen(obj: Object) -> str:
    """How long ago the event was last seen."""
    series = obj.get("series")
    if series:
        return durations.since(series.get("lastObservedTime"))
    return durations.since(obj.get("lastTimestamp")) if obj.get("lastTimestamp") else first_seen(obj)


def _target(obj: Object) -> str:
    involved = obj.get("involvedObject") or {}
    kind = str(involved.get("kind") or "").lower()
    return f"{kind}/{involved['name']}" if involved.get("name") else kind


def _source(obj: Object) -> str:
    component = at(obj, "source", "component") or obj.get("reportingComponent")
    host = at(obj, "source", "host") or obj.get("reportingInstance")
    return ", ".join(str(part) for part in (component, host) if part)


def _count(obj: Object) -> int:
    series = obj.get("series")
    return int(series.get("count") or 0) if series else int(obj.get("count") or 1)


COLUMNS = (
    Column("Last Seen", "string", last_seen),
    Column("Type", "string", text("type")),
    Column("Reason", "string", text("reason")),
    Column("Object", "string", _target),
    Column("Subobject", "string", text("involvedObject", "fieldPath"), "", 1),
    Column("Source", "string", _source, "", 1),
    Column("Message", "string", lambda o: str(o.get("message") or "").strip()),
    Column("First Seen", "string", first_seen, "", 1),
    Column("Count", "string", _count, "", 1),
    Column("Name", "string", text("metadata", "name"), "", 1, "name"),
)

TO_CORE = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
"""What events.k8s.io calls a field -> what the core calls it."""
_FROM_CORE = {core: new for new, core in TO_CORE.items()}
NEW_VERSION = "events.k8s.io/v1"
_WORD_LENGTH, _NOTE_LENGTH = 128, 1024
INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


class Event(Resource):
    kind, plural = "Event", "events"
    creates_on_update = True
    short_names = ("ev",)
    has_generation = False
    time_to_live = 3600
    reshapes = frozenset({NEW_VERSION})
    validates_name = "path_segment"
    columns = COLUMNS
    name_column = False
    selectable_fields = (
        *(f"involvedObject.{name}" for name in INVOLVED), "reason", "reportingComponent", "source", "type",
    )  # fmt: skip

    def selectable(self, obj: Object) -> Mapping[str, str]:
        """Under the names of both groups: they share what is stored, and what is kept of it."""
        involved = {name: str(at(obj, "involvedObject", name) or "") for name in INVOLVED}
        fields = {f"involvedObject.{name}": value for name, value in involved.items()}
        fields |= {f"regarding.{name}": value for name, value in involved.items()}
        component = at(obj, "source", "component")
        fields["reason"] = obj.get("reason") or ""
        fields["reportingComponent"] = obj.get("reportingComponent") or ""
        fields["reportingController"] = fields["reportingComponent"]
        fields["source"] = component or obj.get("reportingComponent") or ""
        fields["type"] = obj.get("type") or ""
        return fields

    def in_shape_of(self, obj: Object, api_version: str) -> Object:
        return renewed(obj) if api_version in self.reshapes else obj

    def validate(self, obj: Object, errors: Errors) -> None:
        self.validate_any(obj, "reportingComponent", errors)

    def validate_any(self, obj: Object, reporter: str, errors: Errors) -> None:
        """Rules of events of both groups. `reporter` is what the group calls who reports."""
        involved, namespace = at(obj, "involvedObject", "namespace") or "", obj["metadata"].get("namespace") or ""
        if obj.get("eventTime"):
            fits = bool(involved) or namespace in ("default", "kube-system")
        else:
            fits = namespace == involved if involved else namespace in ("", "default")
        if not fits:
            errors.invalid("involvedObject.namespace", involved, "does not match event.namespace")
        if not obj.get("eventTime"):
            return
        if not obj.get("reportingComponent"):
            errors.required(reporter)
        for problem in names.qualified_name(obj.get("reportingComponent") or ""):
            errors.invalid(reporter, obj.get("reportingComponent") or "", problem)
        for field in ("reportingInstance", "action", "reason"):
            if not obj.get(field):
                errors.required(field)
            elif len(obj[field].encode()) > _WORD_LENGTH:
                errors.invalid(field, "", f"can have at most {_WORD_LENGTH} characters")
        if len((obj.get("message") or "").encode()) > _NOTE_LENGTH:
            errors.invalid("message", "", f"can have at most {_NOTE_LENGTH} characters")


def renewed(obj: Object) -> Object:
    """A core Event in the shape of events.k8s.io."""
    return {**{_FROM_CORE.get(key, key): value for key, value in obj.items()}, "apiVersion": NEW_VERSION}
