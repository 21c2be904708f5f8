"""ReplicationControllers: ReplicaSets from before label expressions. The same loop, a simpler selector."""

from __future__ import annotations

from kybern.api.selectors import Selector, from_labels
from kybern.api.types import Object
from kybern.controllers.replicaset import ReplicaSetController


class ReplicationControllerController(ReplicaSetController):
    name = "replicationcontroller-controller"
    aliases = ("replicationcontroller",)
    api_version, kind, plural = "v1", "ReplicationController", "replicationcontrollers"

    def selector(self, owner: Object) -> Selector:
        return from_labels(owner["spec"].get("selector"))
