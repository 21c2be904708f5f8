"""APIServices of what is served here, written by the server: those of built-in kinds when it starts, those of custom
kinds as their definitions come and go. What somebody else made under such a name stays theirs.

Source: API reference, APIService v1 apiregistration.k8s.io; Kubernetes documentation, "Aggregation Layer".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from kybern.api.errors import AlreadyExists, APIError, NotFound
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.aggregator.priorities import CUSTOM, Priority, priority
from kybern.apiserver.registry import Lister, Registry
from kybern.store.base import StoreError

log = logging.getLogger(__name__)

AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
ON_START, ALWAYS = "onstart", "true"
RETRY_SECONDS = 1.0


class LocalServices:
    """Keeps them. `changed` says that there may be something to do."""

    def __init__(self, registry: Registry, resource: Resource, present: Lister, definitions: Lister | None) -> None:
        self._registry, self._resource = registry, resource
        self._present, self._definitions = present, definitions
        self._wake = asyncio.Event()

    def changed(self) -> None:
        """An APIService or a definition changed."""
        self._wake.set()

    async def run(self) -> None:
        """Bring them up to date, and keep those of custom kinds so."""
        builtin = {
            _name(kind.group, version): _made(kind.group, version, priority(kind.group, version), ON_START)
            for kind in self._registry.scheme
            if not kind.custom
            for version in kind.versions
        }
        await self._until_done(lambda: self._bring(builtin, ON_START))
        while True:
            self._wake.clear()
            await self._until_done(self._follow)
            await self._wake.wait()

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
                return
            except (APIError, StoreError) as error:
                log.warning("API services of what is served here: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        await self._bring(self._wanted_custom(), ALWAYS)

    async def _bring(self, wanted: dict[str, Object], managed: str) -> None:
        """Have those there that are wanted, and none else that is managed so."""
        await self._ensure(wanted)
        for found in self._present.list():
            name = found["metadata"]["name"]
            if _managed(found) == managed and name not in wanted:
                with contextlib.suppress(NotFound):
                    await self._registry.delete(self._resource, "", name)

    def _wanted_custom(self) -> dict[str, Object]:
        return {
            _name(spec["group"], version["name"]): _made(spec["group"], version["name"], CUSTOM, ALWAYS)
            for spec in (crd["spec"] for crd in (self._definitions.list() if self._definitions is not None else ()))
            for version in spec["versions"]
            if version.get("served")
        }

    async def _ensure(self, wanted: dict[str, Object]) -> None:
        await asyncio.gather(*(self._ensure_one(name, obj) for name, obj in wanted.items()))

    async def _ensure_one(self, name: str, obj: Object) -> None:
        found = self._present.get("", name)
        if found is None:
            with contextlib.suppress(AlreadyExists):
                await self._registry.create(self._resource, obj)
            return
        if not _managed(found) or found["spec"] == obj["spec"]:
            return

        def mend(now: Object) -> Object | None:
            return {**now, "spec": obj["spec"]} if _managed(now) else None

        with contextlib.suppress(NotFound):
            await self._registry.guaranteed_update(self._resource, "", name, mend)


def _managed(obj: Object) -> str:
    return str((obj["metadata"].get("labels") or {}).get(AUTOMANAGED) or "")


def _name(group: str, version: str) -> str:
    return f"{version}.{group}"


def _made(group: str, version: str, place: Priority, managed: str) -> Object:
    spec: Object = {"version": version, "groupPriorityMinimum": place.group, "versionPriority": place.version}
    if group:
        spec["group"] = group
    return {
        "kind": "APIService",
        "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": _name(group, version), "labels": {AUTOMANAGED: managed}},
        "spec": spec,
    }
