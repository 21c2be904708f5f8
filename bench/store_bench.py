"""CPU per operation of the stores, 3 KB values: `python bench/store_bench.py [directory]`.

CPU is user+system of the whole process, the writer thread and fsync's kernel time included, but not etcd's own process;
the wall time beside it is mostly the disk's.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from kybern.store import open_store
from kybern.store.base import Store
from kybern.testing.etcd import EtcdServers

VALUE = os.urandom(1500).hex().encode()
PREFIX = "/registry/pods/default/"
COUNT = 6400


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(what: str, count: int, work: Callable[[], Awaitable[None]]) -> None:
    before, start = cpu(), time.perf_counter()
    await work()
    used, took = cpu() - before, time.perf_counter() - start
    print(f"  {what:28} {used / count * 1e6:9.1f} µs CPU {took / count * 1e6:9.1f} µs wall")


async def run(name: str, store: Store) -> None:
    print(name)
    await store.watch(PREFIX, after=0, on_events=lambda events: None, on_lost=lambda error: None)

    async def creates(group: str, count: int) -> None:
        for number in range(count):
            await store.create(f"{PREFIX}{group}-{number:05}", VALUE)

    async def grouped(writers: int, count: int) -> None:
        async def writer(number: int) -> None:
            await creates(f"w{number}", count // writers)

        await asyncio.gather(*(writer(number) for number in range(writers)))

    async def updates(writers: int) -> None:
        async def writer(number: int) -> None:
            for serial in range(COUNT // 32):
                key = f"{PREFIX}w{number}-{serial:05}"
                entry = await store.get(key)
                assert entry is not None
                await store.update(key, VALUE[:-1], expect=entry.mod_revision)

        await asyncio.gather(*(writer(number) for number in range(writers)))

    async def gets() -> None:
        for number in range(20_000):
            await store.get(f"{PREFIX}w0-{number % 200:05}")

    async def lists() -> None:
        for _ in range(20):
            assert len((await store.list(PREFIX)).entries) >= 5000

    await measure("create, one at a time", 640, lambda: creates("single", 640))
    await measure("create, 32 writers", COUNT, lambda: grouped(32, COUNT))
    await measure("get + update, 32 writers", COUNT, lambda: updates(32))
    await measure("get", 20_000, gets)
    await measure("list of 7,040, per call", 20, lists)
    await store.close()


async def main() -> None:
    await run("memory", await open_store("memory"))
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as directory:
        path = os.path.join(directory, "store.db")
        await run("sqlite", await open_store(path))
        size, current = os.path.getsize(path), (COUNT + 640) * len(VALUE)
        print(f"  file: {size / 2**20:.1f} MiB, {current / 2**20:.1f} MiB of it current")
        await measure("open, check and recover", 1, lambda: reopen(path))
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as directory:
        servers = EtcdServers(Path(directory))
        try:
            await servers.start_all()
            await run("etcd, one member", await open_store(servers.location))
        finally:
            servers.stop()


async def reopen(path: str) -> None:
    await (await open_store(path)).close()


if __name__ == "__main__":
    uvloop.run(main())
