"""What logs and streams have in common: which container of the pod, and which kubelet has it."""

from __future__ import annotations

from kybern.api.errors import BadRequest
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.app import App
from kybern.apiserver.request import Request


async def pod_of(app: App, request: Request, resource: Resource) -> Object:
    """The pod asked for. Raises NotFound."""
    return await app.registry.get(resource, request.info.namespace, request.info.name)


def container_of(pod: Object, asked: str) -> str:
    """The container asked for, or the only one. Raises BadRequest."""
    spec, name = pod["spec"], pod["metadata"]["name"]

    def names(field: str) -> list[str]:
        return [container["name"] for container in spec.get(field) or ()]

    containers, init, ephemeral = names("containers"), names("initContainers"), names("ephemeralContainers")
    if asked:
        if asked not in (*containers, *init, *ephemeral):
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    if len(containers) == 1:
        return containers[0]
    message = f"a container name must be specified for pod {name}"
    if containers:
        message += f", choose one of: [{' '.join(containers)}]"
        if init:
            message += f" or one of the init containers: [{' '.join(init)}]"
    raise BadRequest(message)


def node_of(pod: Object) -> str:
    """The pod's node; "" before it is scheduled."""
    return str(pod["spec"].get("nodeName") or "")


def require_node(pod: Object) -> str:
    """The pod's node. Raises BadRequest before it is scheduled."""
    node = node_of(pod)
    if not node:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return node
