"""get: one object, as it is stored.

Source: API concepts, "Semantics for get and list": with a resourceVersion, anything at least as new will do.
"""

from __future__ import annotations

from kybern.api.resource import Resource
from kybern.apiserver.answers import kept_object, stored_object
from kybern.apiserver.app import App
from kybern.apiserver.negotiation import shape_of
from kybern.apiserver.request import Request, Response
from kybern.apiserver.revisions import parse, reached


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, Timeout (a revision yet to come)."""
    info = request.info
    namespace = info.namespace if resource.namespaced else ""
    asked = request.arg("resourceVersion")
    if asked:
        await reached(await app.registry.ready(resource), parse(asked))
    item = await app.registry.item(resource, namespace, info.name, any_age=bool(asked))
    shape = shape_of(request)
    if shape.protobuf and not shape.kind:
        return kept_object(request, resource, app.registry.cache(resource), item, shape)
    return stored_object(request, resource, shape, item.value, item.revision)
