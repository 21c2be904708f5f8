"""Binding, v1: what the scheduler posts to give a pod its node. Never stored.

Source: API reference, Binding v1 core.
"""

from __future__ import annotations

from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object


class Binding(Resource):
    kind, plural = "Binding", "bindings"
    verbs = ("create",)
    has_generation = False

    def validate(self, obj: Object, errors: Errors) -> None:
        kind = at(obj, "target", "kind")
        if kind and kind != "Node":
            errors.unsupported("target.kind", kind, ("Node", "<empty>"))
        if not at(obj, "target", "name"):
            errors.required("target.name")
