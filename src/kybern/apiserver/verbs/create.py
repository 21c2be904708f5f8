"""create: a new object in a collection."""

from __future__ import annotations

from kybern.api.resource import Resource
from kybern.apiserver import body, options
from kybern.apiserver.answers import written
from kybern.apiserver.app import App
from kybern.apiserver.creating import create
from kybern.apiserver.request import Request, Response


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises AlreadyExists, Invalid, BadRequest, and what admission raises."""
    asked = options.read(request, "CreateOptions")
    obj = body.read(request, resource, asked)
    body.place(obj, resource, request.info.namespace)
    entry = await create(app, request, resource, obj, asked)
    return written(app, request, resource, entry, 201)
