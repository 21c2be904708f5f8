"""get: one object, as it is stored."""

from __future__ import annotations

from kybern.api.resource import Resource
from kybern.apiserver.answers import stored_object
from kybern.apiserver.app import App
from kybern.apiserver.request import Request, Response
from kybern.apiserver.revisions import at_least


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound."""
    info = request.info
    namespace = info.namespace if resource.namespaced else ""
    item = await app.registry.item(resource, namespace, info.name, any_age=request.arg("resourceVersion") == "0")
    if request.query:
        at_least(app.registry.cache(resource), request.arg("resourceVersion"))
    return stored_object(request, resource, item.value, item.revision)
