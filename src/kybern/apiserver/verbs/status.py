"""status: read the object; write only its status."""

from __future__ import annotations

from kybern.api.errors import MethodNotSupported
from kybern.api.resource import Resource
from kybern.apiserver.app import App
from kybern.apiserver.request import Request, Response
from kybern.apiserver.verbs import get, patch, update


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises what get, update and patch raise."""
    return await part(app, request, resource, "status")


async def part(app: App, request: Request, resource: Resource, subresource: str) -> Response:
    """get, update and patch of a subresource that shows the whole object and writes a part of it."""
    verb = request.info.verb
    if verb == "get":
        return await get.serve(app, request, resource)
    if verb == "update":
        return await update.replace(app, request, resource, subresource)
    if verb == "patch":
        return await patch.modify(app, request, resource, subresource)
    raise MethodNotSupported("the server does not allow this method on the requested resource", details={})
