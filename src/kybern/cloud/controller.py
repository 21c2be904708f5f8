"""What the controllers here are made of: `kybern.client.controller` with this manager's options."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.client import controller
from kybern.client.controller import periodically
from kybern.cloud.options import Options

__all__ = ["Context", "Controller", "find_condition", "node_reference", "periodically"]

Context = controller.Context[Options]


class Controller(controller.Controller[Options]):
    """Subclass this one."""


def find_condition(node: Object, type: str) -> Object | None:
    """The node's condition of that type."""
    listed = (node.get("status") or {}).get("conditions") or ()
    return next((one for one in listed if one.get("type") == type), None)


def node_reference(node: Object) -> Object:
    """What events about the node refer to."""
    meta = node["metadata"]
    return {"kind": "Node", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
