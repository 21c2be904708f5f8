"""ConfigMaps and Secrets that pods refer to. Each is asked for by name (a node may not list them), and kept a while.

A pod that is new to the kubelet sees what is in the API now; one that runs sees changes within a minute or two. While
the API server is away, containers are restarted with what it last said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Set

from kybern.api.errors import APIError, Forbidden, NotFound
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.process.clock import monotonic

log = logging.getLogger(__name__)

KEPT = 60.0
"""Seconds an object may be used before it is asked for anew."""


class Objects:
    """An `ObjectSource` over the API."""

    def __init__(self, client: Client) -> None:
        self._resources = {plural: client.resource("v1", plural) for plural in ("configmaps", "secrets")}
        self._kept: dict[tuple[str, str, str], tuple[float, asyncio.Future[Object]]] = {}
        self._last: dict[tuple[str, str, str], Object] = {}
        """What the API last had, for when it can't be asked."""

    async def config_map(self, namespace: str, name: str) -> Object:
        return await self._get("configmaps", namespace, name)

    async def secret(self, namespace: str, name: str) -> Object:
        return await self._get("secrets", namespace, name)

    def expire(self, namespace: str) -> None:
        """A pod came to this namespace: what was kept may be too old for it."""
        self._kept = {key: kept for key, kept in self._kept.items() if key[1] != namespace or not kept[1].done()}

    def keep(self, namespaces: Set[str]) -> None:
        """Forget what is in other namespaces: no pod here needs it any more."""
        self._last = {key: found for key, found in self._last.items() if key[1] in namespaces}

    async def _get(self, plural: str, namespace: str, name: str) -> Object:
        key, now = (plural, namespace, name), monotonic()
        kept = self._kept.get(key)
        if kept and now - kept[0] < KEPT and not (kept[1].done() and kept[1].exception()):
            return await asyncio.shield(kept[1])
        task = asyncio.ensure_future(self._fetch(key))
        self._kept[key] = (now, task)
        return await asyncio.shield(task)

    async def _fetch(self, key: tuple[str, str, str]) -> Object:
        plural, namespace, name = key
        try:
            found = self._last[key] = await self._resources[plural].get(name, namespace)
        except (NotFound, Forbidden):
            self._last.pop(key, None)
            raise
        except APIError as error:
            if key not in self._last:
                raise
            log.info("%s %s/%s can't be asked for, its last state serves: %s", plural, namespace, name, error)
            return self._last[key]
        return found


class NoObjects:
    """An `ObjectSource` for a kubelet without an API server."""

    async def config_map(self, namespace: str, name: str) -> Object:
        raise NotFound.of("configmaps", "", name)

    async def secret(self, namespace: str, name: str) -> Object:
        raise NotFound.of("secrets", "", name)
