"""The process that test_store_crash kills: writes without end, and says on stdout what it wishes and what was done."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Sequence

from kybern.store.base import Event
from kybern.store.memory import Retention
from kybern.store.sqlite import SqliteStore

WRITERS, KEYS = 16, 4
PADDING = b" " + b"x" * 3000


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


async def write(store: SqliteStore, writer: int, dice: random.Random, run: str) -> None:
    serial = 0
    while True:
        serial += 1
        key, value = f"/w/{writer}/{dice.randrange(KEYS)}", f"{run}.{serial}"
        current = await store.get(key)
        if current is None:
            say(f"wish {writer} {key} {value}")
            done = await store.create(key, value.encode() + PADDING)
        elif dice.random() < 0.2:
            say(f"wish {writer} {key} -")
            done = await store.delete(key)
        else:
            say(f"wish {writer} {key} {value}")
            done = await store.update(key, value.encode() + PADDING, expect=current.mod_revision)
        say(f"done {writer} {done.mod_revision}")


def hear(events: Sequence[Event]) -> None:
    say(f"heard {events[-1].entry.mod_revision}")


async def main() -> None:
    path, run = sys.argv[1:]
    store = await SqliteStore.open(path, retention=Retention(events=300, interval=0.02))
    await store.watch("/w/", after=await store.revision(), on_events=hear, on_lost=lambda error: None)
    say("ready")
    await asyncio.gather(*(write(store, number, random.Random(f"{run}/{number}"), run) for number in range(WRITERS)))


asyncio.run(main())
