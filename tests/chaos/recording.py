"""Clients that write, read and watch while something fails, and keep a history of it.

They run on an event loop in a thread of their own. Each server has a writer and watchers that talk to no other;
the balancer has them too. What goes wrong is written down and tried again: an outage is no mistake, a wrong answer is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any, Literal

from kybern.api.errors import (
    AlreadyExists,
    APIError,
    BadRequest,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
)
from kybern.client.kubeconfig import ClientConfig, connect
from kybern.client.rest import Client, ResourceClient, WatchEvent
from tests.chaos.history import COUNTER, Event, History, Kept, Read, Stretch, Write, longest_pause

BALANCER = "balancer"
_PATIENCE = 3.0
"""Seconds for a request; after that its outcome is unknown."""
_SILENCE = 6.0
"""Seconds after which a watch that says nothing is opened anew: of a server that is cut off nobody hears."""
_PACE = 0.06
_SETTLING = 60.0
_UPDATES = 3

Object = dict[str, Any]


class Recorder:
    """Records from `start` to `finish`. `servers`: by name, their URLs."""

    def __init__(self, config: ClientConfig, servers: dict[str, str], namespace: str) -> None:
        self.history = History()
        self.leases: list[Stretch] = []
        self.pods: list[Stretch] = []
        self.failures: dict[str, int] = {}
        """What was answered instead of what was asked for, and how often."""
        self.wrong: set[str] = set()
        """The failures that no outage excuses."""
        self.namespace = namespace
        self._config, self._servers = config, servers
        self._loop = asyncio.new_event_loop()
        self._ending, self._ended = asyncio.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._record(),))
        self._error: BaseException | None = None
        self._number = 0

    def start(self) -> None:
        """Returns once every server has acknowledged a write."""
        self._thread.start()
        end = time.monotonic() + _SETTLING
        while {write.server for write in [*self.history.writes] if write.acknowledged} < self._servers.keys():
            assert self._thread.is_alive() and time.monotonic() < end, f"the clients got nowhere: {self.failures}"
            time.sleep(0.05)

    def finish(self) -> None:
        """Stop writing; wait until all watchers have heard of the last write."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()
        if self._error:
            raise self._error

    def pause(self, since: float, server: str = "") -> float:
        """See history.longest_pause."""
        return longest_pause(self.history.writes, since, server)

    async def _record(self) -> None:
        try:
            await self._all()
        except BaseException as error:
            self._error = error

    async def _all(self) -> None:
        async with self._connected() as clients:
            await self._attempt(clients[BALANCER], self._make_namespace)
            watchers = [asyncio.ensure_future(watch) for c in clients.items() for watch in self._watches(*c)]
            writers = [asyncio.ensure_future(self._write(name, clients)) for name in clients]
            await asyncio.sleep(0)
            await self._ending.wait()
            await asyncio.gather(*writers)
            try:
                await self._settle(clients)
            finally:
                self._ended.set()
                for watcher in watchers:
                    watcher.cancel()
                ends = await asyncio.gather(*watchers, return_exceptions=True)
            for end in ends:
                if isinstance(end, Exception):
                    raise end
            await self._attempt(clients[BALANCER], self._remove_namespace)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[dict[str, Client]]:
        clients = {n: connect(replace(self._config, server=url), quiet=True) for n, url in self._servers.items()}
        try:
            yield clients
        finally:
            for client in clients.values():
                await client.close()

    async def _make_namespace(self, client: Client) -> None:
        namespaces = client.resource("v1", "namespaces", namespaced=False)
        with contextlib.suppress(AlreadyExists):
            await namespaces.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    async def _remove_namespace(self, client: Client) -> None:
        await client.resource("v1", "namespaces", namespaced=False).delete(self.namespace)

    async def _attempt(self, client: Client, act: Callable[[Client], Coroutine[Any, Any, Any]]) -> Any:
        """Again and again until it is answered."""
        end = time.monotonic() + _SETTLING
        while True:
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await act(client)
            except (APIError, OSError) as error:  # TimeoutError is an OSError
                if time.monotonic() > end:
                    raise
                self._failed(error)
                await asyncio.sleep(0.1)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, Conflict):  # others count too
            return
        if isinstance(error, BadRequest | Forbidden | Invalid | Unauthorized):
            self.wrong.add(f"{type(error).__name__}: {error}")
        text = f"{type(error).__name__}: {error}"[:200]
        self.failures[text] = self.failures.get(text, 0) + 1

    # Watching.

    def _watches(self, server: str, client: Client) -> list[Awaitable[None]]:
        maps, pods = client.resource("v1", "configmaps"), client.resource("v1", "pods")
        leases = client.resource("coordination.k8s.io/v1", "leases")
        return [
            self._watch(server, maps, self.namespace, self.history.stretches, _value),
            self._watch(server, leases, "kube-system", self.leases, lambda lease: json.dumps(lease["spec"])),
            self._watch(server, pods, self.namespace, self.pods, lambda pod: str(pod["metadata"]["uid"])),
        ]

    async def _watch(
        self,
        server: str,
        resource: ResourceClient,
        namespace: str,
        stretches: list[Stretch],
        value: Callable[[Object], str],
    ) -> None:
        """One server's view of a namespace, for as long as it is recorded."""
        own: Stretch | None = None
        while not self._ended.is_set():
            try:
                if own is None:
                    async with asyncio.timeout(_PATIENCE):
                        listed = await resource.list(namespace)
                    versions = {i["metadata"]["name"]: int(i["metadata"]["resourceVersion"]) for i in listed.items}
                    own = Stretch(server, int(listed.resource_version), listed=versions)
                    stretches.append(own)
                await self._follow(resource, namespace, own, value)
            except Expired as error:
                self._failed(error)
                own = None
            except (APIError, OSError) as error:
                self._failed(error)
                await asyncio.sleep(0.2)

    async def _follow(
        self, resource: ResourceClient, namespace: str, stretch: Stretch, value: Callable[[Object], str]
    ) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_SILENCE) as limit:
            async with aclosing(resource.watch(namespace, resource_version=str(stretch.end))) as events:
                async for event in events:
                    limit.reschedule(loop.time() + _SILENCE)
                    stretch.add(_event(event, value))

    # Writing.

    async def _write(self, server: str, clients: dict[str, Client]) -> None:
        """Objects made, changed some times, every other deleted; and the counter that all writers count up."""
        number = 0
        while not self._ending.is_set():
            name = f"{server}-{number}"
            own = clients[server].resource("v1", "configmaps")
            found = await self._put(server, own, "create", name, "0")
            for value in range(1, _UPDATES + 1):
                await self._count(server, own)
                if found is None:
                    break
                await self._look(name, found, clients, server)
                found = await self._put(server, own, "update", name, str(value), found)
            if found is not None and number % 2:
                await self._delete(server, own, name, found, clients)
            number += 1

    async def _put(
        self, server: str, own: ResourceClient, verb: Literal["create", "update"], name: str, value: str, base: int = 0
    ) -> int | None:
        """The version made; None if the object isn't to be used further: nobody knows how it is."""
        body = self._map(name, value, base)
        began = time.monotonic()
        version = 0
        try:
            async with asyncio.timeout(_PATIENCE):
                made = await (own.create(body) if verb == "create" else own.update(body))
            version = int(made["metadata"]["resourceVersion"])
        except (APIError, OSError) as error:
            self._failed(error)
        done = Write(verb, name, value, version, server, began, time.monotonic(), bool(version))
        self.history.writes.append(done)
        await asyncio.sleep(_PACE)
        return version or None

    async def _delete(
        self, server: str, own: ResourceClient, name: str, version: int, clients: dict[str, Client]
    ) -> None:
        began, done = time.monotonic(), False
        try:
            async with asyncio.timeout(_PATIENCE):
                await own.delete(name, self.namespace, resource_version=str(version))
            done = True
        except (APIError, OSError) as error:
            self._failed(error)
        self.history.writes.append(Write("delete", name, "", 0, server, began, time.monotonic(), done))
        if done:
            await self._look(name, 0, clients, server)

    async def _look(self, name: str, least: int, clients: dict[str, Client], writer: str) -> None:
        """Read through another server what this one has acknowledged; each in turn, by get and by list."""
        others = [server for server in clients if server != writer]
        self._number += 1
        server = others[self._number % len(others)]
        maps = clients[server].resource("v1", "configmaps")
        try:
            async with asyncio.timeout(_PATIENCE):
                if self._number % 5:
                    items = [await maps.get(name, self.namespace)]
                else:
                    items = (await maps.list(self.namespace)).items
        except NotFound:
            items = []
        except (APIError, OSError) as error:
            self._failed(error)
            return
        kept = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in items}
        self.history.reads.append(Read(name, server, least, kept.get(name, 0)))

    async def _count(self, server: str, own: ResourceClient) -> None:
        """Count up by one, on what was read."""
        began, value, version = time.monotonic(), "", 0
        try:
            async with asyncio.timeout(_PATIENCE):
                counter = await own.get(COUNTER, self.namespace)
                value = str(int(counter["data"]["value"]) + 1)
                meta = counter["metadata"]
                made = await own.update(self._map(COUNTER, value, int(meta["resourceVersion"])))
                version = int(made["metadata"]["resourceVersion"])
        except NotFound:
            await self._put(server, own, "create", COUNTER, "0")
            return
        except (APIError, OSError) as error:
            self._failed(error)
        if value:
            done = Write("update", COUNTER, value, version, server, began, time.monotonic(), bool(version))
            self.history.writes.append(done)

    def _map(self, name: str, value: str, version: int = 0) -> Object:
        meta = {"name": name, "namespace": self.namespace}
        if version:
            meta["resourceVersion"] = str(version)
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"value": value}}

    # The end.

    async def _settle(self, clients: dict[str, Client]) -> None:
        """One more write; every watcher hears of it, and every server lists the same."""
        tries = count()
        made = await self._attempt(
            clients[BALANCER], lambda c: c.resource("v1", "configmaps").create(self._map(f"end-{next(tries)}", ""))
        )
        last = int(made["metadata"]["resourceVersion"])
        end = time.monotonic() + _SETTLING
        while behind := {name for name in clients if self._reached(name) < last}:
            assert time.monotonic() < end, f"watchers of {sorted(behind)} did not hear of the last write"
            await asyncio.sleep(0.1)
        for server, client in clients.items():
            listed = await self._attempt(client, lambda c: c.resource("v1", "configmaps").list(self.namespace))
            self.history.finals[server] = {item["metadata"]["name"]: _kept(item) for item in listed.items}

    def _reached(self, server: str) -> int:
        return max((stretch.end for stretch in self.history.stretches if stretch.server == server), default=0)


def _value(item: Object) -> str:
    return str((item.get("data") or {}).get("value", ""))


def _kept(item: Object) -> Kept:
    return int(item["metadata"]["resourceVersion"]), _value(item)


def _event(event: WatchEvent, value: Callable[[Object], str]) -> Event:
    meta = event.object["metadata"]
    version = int(meta["resourceVersion"])
    if event.type == "BOOKMARK":
        return Event(event.type, "", "", version)
    return Event(event.type, meta["name"], value(event.object), version)
