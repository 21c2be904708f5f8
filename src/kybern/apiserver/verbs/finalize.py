"""finalize: a namespace's spec.finalizers; with the last one gone, a terminating namespace is gone too."""

from __future__ import annotations

from kybern.api.errors import MethodNotSupported
from kybern.api.resource import Resource
from kybern.apiserver.app import App
from kybern.apiserver.request import Request, Response
from kybern.apiserver.verbs.update import replace


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises what update raises."""
    if request.info.verb != "update":
        raise MethodNotSupported("the server does not allow this method on the requested resource", details={})
    return await replace(app, request, resource, "finalize")
