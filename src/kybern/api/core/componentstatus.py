"""ComponentStatus, v1 (deprecated): computed by the server, never stored. Source: API reference."""

from __future__ import annotations

from kybern.api.resource import Column, Resource
from kybern.api.types import Object


def _condition(obj: Object) -> Object:
    return next((c for c in obj.get("conditions") or [] if c.get("type") == "Healthy"), {})


class ComponentStatus(Resource):
    kind, plural = "ComponentStatus", "componentstatuses"
    short_names = ("cs",)
    namespaced = False
    verbs = ("get", "list")
    has_generation = False
    columns = (
        Column(
            "Status",
            "string",
            lambda o: {"True": "Healthy", "False": "Unhealthy"}.get(_condition(o).get("status", ""), "Unknown"),
        ),
        Column("Message", "string", lambda o: _condition(o).get("message", "")),
        Column("Error", "string", lambda o: _condition(o).get("error", "")),
    )

