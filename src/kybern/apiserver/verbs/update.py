"""update (PUT): a whole object over the one there is; some kinds are created where there is none."""

from __future__ import annotations

from kybern.api.errors import Conflict, NotFound
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver import body, options
from kybern.apiserver.answers import written
from kybern.apiserver.app import App
from kybern.apiserver.creating import create
from kybern.apiserver.request import Request, Response
from kybern.apiserver.updating import Update


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, Conflict, Invalid, BadRequest, and what admission raises."""
    return await replace(app, request, resource, "")


async def replace(app: App, request: Request, resource: Resource, subresource: str) -> Response:
    """An update of the object or of one of its parts."""
    info = request.info
    asked = options.read(request, "UpdateOptions")
    obj = body.read(request, resource, asked)
    body.place(obj, resource, info.namespace, info.name)

    def change(_: Object) -> Object:
        return obj

    update = Update(app, request, resource, asked, subresource, replaces=True)
    try:
        entry = await update.run(info.namespace, info.name, change)
    except NotFound:
        if subresource or not resource.creates_on_update:
            raise
        return await _create(app, request, resource, obj, asked)
    return written(app, request, resource, entry)


async def _create(app: App, request: Request, resource: Resource, obj: Object, asked: options.WriteOptions) -> Response:
    uid = obj["metadata"].get("uid")
    if uid:
        name = request.info.name
        key = resource.key(request.info.namespace if resource.namespaced else "", name)
        raise Conflict.other_uid(resource.plural, resource.group, name, key, uid)
    obj["metadata"].pop("resourceVersion", None)
    return written(app, request, resource, await create(app, request, resource, obj, asked), 201)
