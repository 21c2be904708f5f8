"""approval: approve or deny a certificate signing request; nothing of it but the conditions changes."""

from __future__ import annotations

from kybern.api.resource import Resource
from kybern.apiserver.app import App
from kybern.apiserver.request import Request, Response
from kybern.apiserver.verbs.status import part


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises what get, update and patch raise."""
    return await part(app, request, resource, "approval")
