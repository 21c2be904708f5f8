"""Which API servers there are, where several share a store: each keeps a key of its own alive there, and all see to it
that the Service `kubernetes` has just those as endpoints whose keys are.

Source: upstream's lease endpoint reconciler, whose keys these are (`/registry/masterleases/ADDRESS`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import orjson

from kybern.api.errors import AlreadyExists, APIError, NotFound
from kybern.api.types import Object
from kybern.apiserver import bootstrap
from kybern.apiserver.registry import Registry
from kybern.store.base import KeyExists, Mismatch, Store, StoreError

log = logging.getLogger(__name__)

PREFIX = "/registry/masterleases/"
TIME_TO_LIVE, RENEW_EVERY = 15.0, 5.0
"""Seconds: a server that is lost is no endpoint any more after the first, and a little."""


class Presence:
    """One server's. `start` once it serves; `stop` before it ends."""

    def __init__(self, registry: Registry, address: str, port: int) -> None:
        self._registry, self._store = registry, registry.store
        self._address, self._port = address, port
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Be known, and go on being known. Raises StoreUnavailable."""
        await self._renew()
        await self._reconcile()
        self._task = asyncio.create_task(self._keep(), name="presence")

    async def stop(self) -> None:
        """Be an endpoint no more. What is out of reach expires by itself."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(APIError, StoreError):
            await self._store.delete(self._key)
            await self._reconcile()

    @property
    def _key(self) -> str:
        return f"{PREFIX}{self._address}"

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            try:
                await self._renew()
                await self._reconcile()
            except (APIError, StoreError) as error:
                log.info("the endpoints of the API are not kept: %s", error)

    async def _renew(self) -> None:
        value = orjson.dumps(bootstrap.endpoints([self._address], self._port))
        lease = await self._store.grant(TIME_TO_LIVE)
        await _put(self._store, self._key, value, lease)

    async def _reconcile(self) -> None:
        """Write the endpoints where they are not those that are there, or are not there at all."""
        page = await self._store.list(PREFIX)
        present = sorted(entry.key.removeprefix(PREFIX) for entry in page.entries)
        if not present:
            return
        whole, slice_ = bootstrap.endpoints(present, self._port), bootstrap.endpoint_slice(present, self._port)
        kinds = (
            ("", "endpoints", whole, ("subsets",)),
            ("discovery.k8s.io", "endpointslices", slice_, ("endpoints", "ports")),
        )
        for group, plural, wanted, fields in kinds:
            resource = self._registry.scheme.resource(group, plural)
            if resource is not None:
                mend = bootstrap.replace(*fields)

                def changed(found: Object, mend: bootstrap.Mend = mend, wanted: Object = wanted) -> Object | None:
                    return mend(found, wanted)

                try:
                    await self._registry.guaranteed_update(resource, "default", bootstrap.SERVICE, changed)
                except NotFound:
                    # Somebody took it away.
                    with contextlib.suppress(AlreadyExists):
                        await self._registry.create(resource, wanted)


async def _put(store: Store, key: str, value: bytes, lease: int) -> None:
    """Create or replace, whatever is there."""
    with contextlib.suppress(KeyExists):
        await store.create(key, value, lease=lease)
        return
    found = await store.get(key)
    with contextlib.suppress(Mismatch):
        await store.update(key, value, expect=found.mod_revision if found else 0, lease=lease)
