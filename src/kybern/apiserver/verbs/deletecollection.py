"""deletecollection: every selected object of a collection. The answer lists them as they were."""

from __future__ import annotations

import asyncio

from kybern.api.errors import Conflict, NotFound
from kybern.api.resource import Resource
from kybern.apiserver import deletion, paging
from kybern.apiserver.app import App
from kybern.apiserver.deleting import delete
from kybern.apiserver.negotiation import shape_of
from kybern.apiserver.request import Request, Response
from kybern.apiserver.selection import selection
from kybern.apiserver.verbs.list import answer

BATCH = 256
"""Deletions under way at a time: enough to share a commit of the store, few enough for others to get in between."""


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises Invalid (options), and what admission raises."""
    asked = deletion.read(request)
    cache = await app.registry.ready(resource)
    await cache.fresh()
    shape = shape_of(request)
    namespace = request.info.namespace if resource.namespaced else ""
    chosen = selection(request, resource, cache)
    found = await paging.page(app.registry.store_of(resource), cache, chosen, namespace, paging.options(request))
    root = len(cache.prefix)

    async def remove(key: str) -> None:
        place, _, name = key[root:].rpartition("/")
        try:
            await delete(app, request, resource, place, name, asked)
        except (NotFound, Conflict):
            # Gone already; or a namespace that is terminating, which comes to the same.
            return

    for at in range(0, len(found.items), BATCH):
        await asyncio.gather(*(remove(item.key) for item in found.items[at : at + BATCH]))
    return await answer(request, resource, cache, found, shape)
