"""Event, v1: stored for an hour. events.k8s.io Event is the same stored object in another shape (events/event.py).

Source: API reference, Event v1 core.
"""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import durations
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

INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


class Event(Resource):
    kind, plural = "Event", "events"
    short_names = ("ev",)
    has_generation = False
    time_to_live = 3600
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

    def validate(self, obj: Object, errors: Errors) -> None:
        involved = at(obj, "involvedObject", "namespace") or ""
        namespace = obj["metadata"].get("namespace") or ""
        if not involved:
            if namespace not in ("", "default", "kube-system"):
                errors.invalid("involvedObject.namespace", involved, "does not match event.namespace")
        elif involved != namespace:
            errors.invalid("involvedObject.namespace", involved, "does not match event.namespace")
        if obj.get("eventTime"):
            self._validate_new_style(obj, errors)

    def _validate_new_style(self, obj: Object, errors: Errors) -> None:
        """The stricter rules for events that carry an eventTime, as those of events.k8s.io do."""
        for name, shown in (("reportingComponent", "reportingController"), ("reportingInstance", "reportingInstance")):
            if not obj.get(name):
                errors.required(shown)
            elif len(obj[name]) > 128:
                errors.invalid(shown, "", "can have at most 128 characters")
        for name in ("action", "reason"):
            if not obj.get(name):
                errors.required(name)
            elif len(obj[name]) > 128:
                errors.invalid(name, "", "can have at most 128 characters")
        if len(obj.get("message") or "") > 1024:
            errors.invalid("message", "", "can have at most 1024 characters")
        if obj.get("type") not in ("Normal", "Warning"):
            errors.invalid("type", "", "has invalid value: " + str(obj.get("type") or ""))
