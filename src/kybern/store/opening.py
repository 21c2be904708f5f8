"""Which store a location names."""

from __future__ import annotations

from kybern.store.base import Store
from kybern.store.memory import MemoryStore
from kybern.store.sqlite import SqliteStore


async def open_store(location: str) -> Store:
    """Open the store at `location`: "memory", or a path of a SQLite file (made if absent). Raises StoreUnavailable."""
    if location == "memory":
        return MemoryStore()
    return await SqliteStore.open(location)
