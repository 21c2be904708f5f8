"""componentstatuses: whether the parts of the control plane are well; nothing is stored. Deprecated upstream too."""

from __future__ import annotations

from kybern.api import tables
from kybern.api.errors import MethodNotSupported, NotFound
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.answers import rendered
from kybern.apiserver.app import App
from kybern.apiserver.negotiation import TABLE, shape_of
from kybern.apiserver.request import Request, Response


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """get and list. The API server knows of itself and its store; etcd's name stands for the store."""
    request.warnings.append("v1 ComponentStatus is deprecated in v1.19+")
    info, shape = request.info, shape_of(request)
    check = app.checks.get("etcd")
    found = [_status("etcd-0", check() if check else "")]
    if info.verb == "get":
        one = next((status for status in found if status["metadata"]["name"] == info.name), None)
        if one is None:
            raise NotFound.of(resource.plural, "", info.name)
        return rendered(request, tables.table(resource, [one]) if shape.kind == TABLE else one, shape)
    if info.verb != "list":
        raise MethodNotSupported("the server does not allow this method on the requested resource", details={})
    if shape.kind == TABLE:
        return rendered(request, tables.table(resource, found), shape)
    listed = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": found}
    return rendered(request, listed, shape)


def _status(name: str, wrong: str) -> Object:
    condition = {"type": "Healthy", "status": "False" if wrong else "True", "message": wrong or "ok"}
    return {
        "kind": "ComponentStatus",
        "apiVersion": "v1",
        "metadata": {"name": name, "creationTimestamp": None},
        "conditions": [condition],
    }
