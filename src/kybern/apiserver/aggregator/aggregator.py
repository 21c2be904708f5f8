"""Which servers are behind this one: each is looked after by a task that checks it, says so in its APIService, and asks
it what it serves.

Upstream's controllers of the same names do the same: available, auto-registration, discovery, OpenAPI.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kybern.api.errors import APIError, NotFound
from kybern.api.types import Object
from kybern.apiserver.aggregator import availability, documents
from kybern.apiserver.aggregator.availability import Condition
from kybern.apiserver.aggregator.backend import Backend
from kybern.apiserver.aggregator.local import LocalServices
from kybern.apiserver.app import App
from kybern.apiserver.discovery import Other
from kybern.apiserver.webhooks.calling import resolver_of
from kybern.apiserver.webhooks.services import SLICE_OF
from kybern.process.metrics import Counts
from kybern.store.base import StoreError

log = logging.getLogger(__name__)

SERVICES = ("apiregistration.k8s.io", "apiservices")
UNREACHABLE = (APIError, OSError, ssl.SSLError, TimeoutError)
MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
"""What reading a document that isn't as it should be raises."""
RESYNC_SECONDS = 30.0
FIRST_RETRY = 0.1
LOCAL = Condition(True, "Local", "Local APIServices are always available")


@dataclass(slots=True)
class Looked:
    """A backend, its task, and what it said last."""

    backend: Backend
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    resources: list[Object] = field(default_factory=list)
    v3: dict[str, Object] = field(default_factory=dict)
    v2: Object = field(default_factory=dict)
    v2_etag: str = ""


class Aggregator(Collector):
    """See the module. `identity` are the files of --proxy-client-cert-file and --proxy-client-key-file."""

    def __init__(self, app: App, identity: tuple[Path, Path] | None = None, *, redirects: bool = False) -> None:
        self._app, self._registry, self._identity, self._redirects = app, app.registry, identity, redirects
        resource = app.registry.scheme.resource(*SERVICES)
        if resource is None:
            raise LookupError(f"the scheme has no {SERVICES[1]}")
        self._resource = resource
        self._lister = app.registry.lister(*SERVICES)
        crds = ("apiextensions.k8s.io", "customresourcedefinitions")
        self._definitions = app.registry.lister(*crds) if app.registry.scheme.resource(*crds) else None
        self._local = LocalServices(app.registry, resource, self._lister, self._definitions)
        self._resolver = resolver_of(app)
        self._looked: dict[str, Looked] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._follows = False
        self.version = 0
        """Changes with what the servers behind say."""
        self._lost = Counts(
            "aggregator_unavailable_apiservice_total", "How often an API service came to be out of reach, and why.",
            "name", "reason", bare=True,
        )  # fmt: skip
        app.telemetry.registry.register(self)

    async def start(self) -> None:
        """Begin to pass on what is for others, and to write down what is served here."""
        await self._registry.started(self._resource)
        self._lister.on_change(self._on_change)
        if self._definitions is not None:
            self._definitions.on_change(lambda old, new: self._local.changed())
        self._spawn(self._local.run())

    async def stop(self) -> None:
        """End what start began."""
        tasks = [*self._tasks, *(one.task for one in self._looked.values() if one.task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="apiservices")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What others ask.

    def collect(self) -> Iterator[Metric]:
        """For Prometheus' registry: who is out of reach."""
        unavailable = GaugeMetricFamily(
            "aggregator_unavailable_apiservice", "Whether an API service can't be asked.", labels=("name",)
        )
        for service in self._lister.list():
            unavailable.add_metric([service["metadata"]["name"]], not availability.is_available(service))
        yield from (unavailable, self._lost.family())

    def others(self) -> Sequence[Other]:
        """The versions that servers behind this one serve, for discovery."""
        return [
            Other(
                one.backend.group, one.backend.version, one.backend.spec["groupPriorityMinimum"],
                one.backend.spec["versionPriority"], one.resources, stale=not one.backend.available,
            )
            for one in self._looked.values()
        ]  # fmt: skip

    def v3_paths(self) -> dict[str, Object]:
        """Entries for the index of OpenAPI v3."""
        return {path: said for one in self._looked.values() for path, said in one.v3.items()}

    def v2_parts(self) -> list[Object]:
        """Parts of the OpenAPI v2 document."""
        return [one.v2 for one in self._looked.values() if one.v2]

    # What changes.

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        self._local.changed()
        name = (new or old or {})["metadata"]["name"]
        looked = self._looked.get(name)
        if new is None or not new["spec"].get("service"):
            if looked is not None:
                self._forget(looked)
            if new is not None and availability.with_condition(new, LOCAL) is not None:
                self._spawn(self._write(name, LOCAL))
            return
        if looked is not None and looked.backend.spec == new["spec"]:
            available = availability.is_available(new)
            if available != looked.backend.available:
                looked.backend.available = available
                self.version += 1
            return
        if looked is not None:
            self._forget(looked)
        self._look_after(new)

    def _look_after(self, service: Object) -> None:
        made = Looked(
            Backend(service, self._resolver, self._app.pools, self._identity, redirects=self._redirects)
        )
        made.backend.available = availability.is_available(service)
        self._looked[made.backend.name] = made
        self._app.aggregated[made.backend.group, made.backend.version] = made.backend.serve
        self.version += 1
        made.task = asyncio.create_task(self._keep(made), name=f"apiservice-{made.backend.name}")

    def _forget(self, looked: Looked) -> None:
        backend = looked.backend
        if looked.task is not None:
            looked.task.cancel()
        self._looked.pop(backend.name, None)
        self._app.aggregated.pop((backend.group, backend.version), None)
        self.version += 1

    async def _follow(self) -> None:
        """Hear of changes of Services and their endpoints, once there is somebody whom they concern."""
        if self._follows:
            return
        self._follows = True
        for group, plural in (("", "services"), ("discovery.k8s.io", "endpointslices")):
            resource = self._registry.scheme.resource(group, plural)
            assert resource is not None
            await self._registry.started(resource)
            self._registry.lister(group, plural).on_change(self._on_place)

    def _on_place(self, old: Object | None, new: Object | None) -> None:
        metadata = (new or old or {})["metadata"]
        names = (metadata["name"], (metadata.get("labels") or {}).get(SLICE_OF))
        for one in self._looked.values():
            namespace, name, _ = one.backend.place
            if namespace == metadata.get("namespace") and name in names:
                one.wake.set()

    # Looking after one.

    async def _keep(self, looked: Looked) -> None:
        await self._follow()
        retry = FIRST_RETRY
        services = self._registry.lister("", "services")
        slices = self._registry.lister("discovery.k8s.io", "endpointslices")
        while True:
            looked.wake.clear()
            try:
                found = await availability.check(looked.backend, services, slices)
                await self._note(looked, found)
            except (APIError, StoreError) as error:
                log.warning("API service %s: %s", looked.backend.name, error)
                found = Condition(False, "", "", again=True)
            retry = min(retry * 2, RESYNC_SECONDS) if found.again else FIRST_RETRY
            try:
                async with asyncio.timeout(retry if found.again else RESYNC_SECONDS):
                    await looked.wake.wait()
            except TimeoutError:
                continue

    async def _note(self, looked: Looked, found: Condition) -> None:
        backend = looked.backend
        if backend.available and not found.available:
            self._lost[backend.name, found.reason] += 1
        if found.available:
            await self._read(looked)
        await self._write(backend.name, found)

    async def _write(self, name: str, found: Condition) -> None:
        try:
            await self._registry.guaranteed_update(
                self._resource, "", name, lambda now: availability.with_condition(now, found)
            )
        except NotFound:
            log.debug("API service %s is gone", name)

    async def _read(self, looked: Looked) -> None:
        """Ask it what it serves; what can't be had stays what it was."""
        backend = looked.backend
        for read in (self._read_resources, self._read_v3, self._read_v2):
            try:
                async with asyncio.timeout(availability.SECONDS * 2):
                    await read(looked)
            except (*UNREACHABLE, *MALFORMED) as error:
                log.info("what API service %s says of itself: %s", backend.name, error)

    async def _read_resources(self, looked: Looked) -> None:
        backend = looked.backend
        answer = await backend.fetch("/apis", documents.DISCOVERY)
        found = None
        if answer.status == 200:
            found = documents.discovered(orjson.loads(answer.body), backend.group, backend.version)
        if found is None:
            answer = await backend.fetch(backend.root)
            if answer.status != 200:
                return
            found = documents.from_legacy(orjson.loads(answer.body), backend.group, backend.version)
        if found != looked.resources:
            looked.resources = found
            self.version += 1

    async def _read_v3(self, looked: Looked) -> None:
        answer = await looked.backend.fetch("/openapi/v3")
        found = documents.v3_paths(orjson.loads(answer.body), looked.backend.root) if answer.status == 200 else {}
        if found != looked.v3:
            looked.v3 = found
            self.version += 1

    async def _read_v2(self, looked: Looked) -> None:
        answer = await looked.backend.fetch("/openapi/v2", etag=looked.v2_etag)
        if answer.status == 304:
            return
        made = await asyncio.to_thread(_part, answer.body, looked.backend.root) if answer.status == 200 else {}
        looked.v2_etag = answer.etag
        if made != looked.v2:
            looked.v2 = made
            self.version += 1


def _part(body: bytes, root: str) -> Object:
    return documents.v2_part(orjson.loads(body), root)
