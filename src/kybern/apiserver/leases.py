"""Store leases for objects that expire (events): one lease serves many objects written close together."""

from __future__ import annotations

from kybern.process.clock import monotonic
from kybern.store.base import Store

REUSE_SECONDS = 60.0
REUSE_OBJECTS = 1000


class Leases:
    """Grants leases by time to live, in seconds. An object may live up to REUSE_SECONDS longer than asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._current: dict[int, tuple[int, float, int]] = {}
        """time to live -> (lease, granted at, objects bound)"""

    async def lease(self, ttl: int) -> int:
        """A lease that lasts at least `ttl` seconds."""
        lease, granted, bound = self._current.get(ttl, (0, 0.0, 0))
        if not lease or bound >= REUSE_OBJECTS or monotonic() - granted >= REUSE_SECONDS:
            lease, granted, bound = await self._store.grant(ttl + REUSE_SECONDS), monotonic(), 0
        self._current[ttl] = (lease, granted, bound + 1)
        return lease
