"""Two API servers over one store, writers and watchers at both in random turns: what all saw is judged as a history.

The judge is that of `make chaos`; here nothing fails, but turns are as mean as chance makes them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.chaos.history import COUNTER, Event, History, Read, Stretch, Write, complaints
from tests.integration.apiserver.inprocess import MERGE, Api, query, serving

MAPS = "/api/v1/namespaces/default/configmaps"
SERVERS = ("one", "two")
WRITERS, TURNS, WATCHERS = 6, 25, 6


def value_of(obj: Any) -> str:
    return str((obj.get("data") or {}).get("value", ""))


def version_of(obj: Any) -> int:
    return int(obj["metadata"]["resourceVersion"])


class Play:
    """One run: who does what when is `chance`'s."""

    def __init__(self, apis: dict[str, Api], seed: int) -> None:
        self.apis, self.chance, self.history = apis, random.Random(seed), History()
        self.turn = 0.0
        self.over = asyncio.Event()

    async def pause(self) -> None:
        """Let others go first, for some while."""
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)

    def now(self) -> float:
        self.turn += 1
        return self.turn

    async def ask(self, server: str, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        return await self.apis[server].ask(method, path, body, **more)

    async def writer(self, number: int) -> None:
        """Objects of its own are made, changed in one of four ways, read elsewhere and deleted; the counter goes up."""
        for turn in range(TURNS):
            name, server = f"w{number}-{turn}", self.chance.choice(SERVERS)
            await self.pause()
            began = self.now()
            labels = {"odd": str(turn % 2)}
            made = await self.apis[server].ok("POST", MAPS, {"metadata": {"name": name, "labels": labels},
                                                             "data": {"value": "0"}})  # fmt: skip
            self.wrote("create", name, made, server, began)
            for change in range(self.chance.randrange(3)):
                await self.change(name, str(change + 1))
            await self.count()
            if self.chance.random() < 0.4:
                await self.delete(name)

    async def change(self, name: str, value: str) -> None:
        server, began = self.chance.choice(SERVERS), self.now()
        await self.pause()
        way = self.chance.randrange(3)
        if way == 0:
            _, current = await self.ask(server, "GET", f"{MAPS}/{name}")
            status, made = await self.ask(server, "PUT", f"{MAPS}/{name}", {**current, "data": {"value": value}})
        elif way == 1:
            status, made = await self.ask(server, "PATCH", f"{MAPS}/{name}", {"data": {"value": value}}, kind=MERGE)
        else:
            config = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"value": value}}
            target = f"{MAPS}/{name}?fieldManager=m&force=true"
            status, made = await self.ask(server, "PATCH", target, config, kind="application/apply-patch+yaml")
        assert status == 200, made
        self.wrote("update", name, made, server, began)
        await self.read(name, version_of(made))

    async def count(self) -> None:
        """Optimistic: read, add one, write if nobody else did."""
        server = self.chance.choice(SERVERS)
        _, current = await self.ask(server, "GET", f"{MAPS}/{COUNTER}")
        await self.pause()
        value, began = str(int(value_of(current)) + 1), self.now()
        other = self.chance.choice(SERVERS)
        status, made = await self.ask(other, "PUT", f"{MAPS}/{COUNTER}", {**current, "data": {"value": value}})
        assert status in (200, 409), made
        if status == 200:
            self.wrote("update", COUNTER, made, other, began)

    async def delete(self, name: str) -> None:
        server, began = self.chance.choice(SERVERS), self.now()
        status, answer = await self.ask(server, "DELETE", f"{MAPS}/{name}")
        assert status == 200, answer
        self.history.writes.append(Write("delete", name, "", 0, server, began, self.now()))
        await self.read(name, 0)

    def wrote(self, verb: Any, name: str, made: Any, server: str, began: float) -> None:
        self.history.writes.append(Write(verb, name, value_of(made), version_of(made), server, began, self.now()))

    async def read(self, name: str, least: int) -> None:
        """From the other server, or whichever: one object, or a list's."""
        server = self.chance.choice(SERVERS)
        if self.chance.random() < 0.5:
            status, found = await self.ask(server, "GET", f"{MAPS}/{name}")
            versions = [version_of(found)] if status == 200 else []
        else:
            _, listed = await self.ask(server, "GET", f"{MAPS}?fieldSelector=metadata.name%3D{name}")
            versions = [version_of(item) for item in listed["items"]]
        self.history.reads.append(Read(name, server, least, versions[0] if versions else 0))

    async def watcher(self, number: int) -> None:
        """Lists (in pages, or not), watches from there for a while, goes on from where it was, again and again."""
        server = SERVERS[number % 2]
        listed, start = await self.listed(server)
        stretch = Stretch(server, start, listed=listed)
        self.history.stretches.append(stretch)
        while True:
            last = self.over.is_set()
            at = query(resourceVersion=stretch.end, allowWatchBookmarks="true")
            async with self.apis[server].watch(f"{MAPS}?{at}") as watched:
                for _ in range(1 if last else self.chance.randrange(1, 30)):
                    await self.pause()
                    self.told(stretch, watched.take())
            if last:
                return
            server = self.chance.choice(SERVERS)
            for _ in range(self.chance.randrange(8)):  # it hears nothing for a while
                await self.pause()

    async def listed(self, server: str) -> tuple[dict[str, int], int]:
        found: dict[str, int] = {}
        parameters: dict[str, Any] = {"limit": self.chance.choice((0, 3))}
        while True:
            _, page = await self.ask(server, "GET", f"{MAPS}?{query(**parameters)}")
            found |= {item["metadata"]["name"]: version_of(item) for item in page["items"]}
            token = page["metadata"].get("continue")
            if not token:
                return found, int(page["metadata"]["resourceVersion"])
            parameters["continue"] = token
            await self.pause()

    def told(self, stretch: Stretch, events: list[Any]) -> None:
        for event in events:
            obj = event["object"]
            assert event["type"] in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"), event
            stretch.add(Event(event["type"], obj["metadata"].get("name", ""), value_of(obj), version_of(obj)))

    async def run(self) -> list[str]:
        await self.apis["one"].ok("POST", MAPS, {"metadata": {"name": COUNTER}, "data": {"value": "0"}})
        watchers = [asyncio.create_task(self.watcher(number)) for number in range(WATCHERS)]
        await asyncio.gather(*(self.writer(number) for number in range(WRITERS)))
        self.over.set()
        await asyncio.gather(*watchers)
        for server in SERVERS:
            _, listed = await self.ask(server, "GET", MAPS)
            self.history.finals[server] = {
                item["metadata"]["name"]: (version_of(item), value_of(item)) for item in listed["items"]
            }
        return complaints(self.history)


@asynccontextmanager
async def two_servers() -> AsyncIterator[dict[str, Api]]:
    async with serving() as one, serving(beside=one) as two:
        yield {"one": one, "two": two}


@pytest.mark.parametrize("seed", range(3))
async def test_no_update_is_lost_and_no_event_missed_or_told_twice(seed: int) -> None:
    async with two_servers() as apis:
        play = Play(apis, seed)
        assert await play.run() == []
    writes = play.history.writes
    assert len(writes) > WRITERS * TURNS * 2
    assert sum(len(stretch.events) for stretch in play.history.stretches) > len(writes)
