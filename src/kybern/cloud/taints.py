"""The taints by which a node's kubelet and its cloud talk to each other, and writing a node's taints."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.client.rest import ResourceClient

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
"""Put on by kubelets that leave their node to a cloud; taken off once the cloud has said what it knows."""
SHUTDOWN = "node.cloudprovider.kubernetes.io/shutdown"


def has(node: Object, key: str) -> bool:
    return any(taint["key"] == key for taint in node["spec"].get("taints") or ())


def without(node: Object, key: str) -> list[Object]:
    """The node's taints but those of a key."""
    return [taint for taint in node["spec"].get("taints") or () if taint["key"] != key]


async def write(nodes: ResourceClient, node: Object, taints: list[Object]) -> Object:
    """Set the node's taints. Raises Conflict if it changed since: taints are a list that others write too."""
    meta = node["metadata"]
    change = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "spec": {"taints": taints or None}}
    return await nodes.patch(meta["name"], change)
