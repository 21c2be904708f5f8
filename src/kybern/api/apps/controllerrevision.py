"""ControllerRevision, apps/v1: a state that a DaemonSet or StatefulSet can be rolled back to.

Source: API reference, ControllerRevision v1 apps.
"""

from __future__ import annotations

from kybern.api import validation
from kybern.api.cells import number
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object


def _controller(obj: Object) -> str:
    """`daemonset.apps/web`."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group = owner["apiVersion"].rpartition("/")[0]
            kind = f"{owner['kind']}.{group}" if group else owner["kind"]
            return f"{kind.lower()}/{owner['name']}"
    return "<none>"


class ControllerRevision(Resource):
    group, kind, plural = "apps", "ControllerRevision", "controllerrevisions"
    has_generation = False
    columns = (
        Column("Controller", "string", _controller, "Controller of the object"),
        Column("Revision", "string", number("revision"), "Revision of the state represented by Data."),
        AGE,
    )

    def validate(self, obj: Object, errors: Errors) -> None:
        if obj.get("data") is None:
            errors.required("data", "data is mandatory")
        validation.not_negative(obj.get("revision"), "revision", errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj.get("data"), old.get("data"), "data", errors)
