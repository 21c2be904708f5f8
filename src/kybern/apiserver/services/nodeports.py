"""Node ports: which are taken is one bitmap in the store, under upstream's key and in its shape, that every server
changes by compare-and-swap; so no two give out the same.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass

import orjson

from kybern.apiserver.services import picking
from kybern.apiserver.services.errors import Full, OutOfRange, Taken
from kybern.store.base import KeyExists, Mismatch, Store

KEY = "/registry/ranges/servicenodeports"
TAKEN = "provided port is already allocated"


@dataclass(slots=True, frozen=True)
class Allocation:
    """What is stored: the ports taken, bit by bit, and the revision to change it at (0: nothing is stored)."""

    taken: int
    revision: int
    range: str = ""


class NodePorts:
    """The ports from `first` to `last`, both included."""

    def __init__(self, store: Store, first: int, last: int) -> None:
        self._store = store
        self.first, self.last = first, last
        self._mask = (1 << (last + 1)) - (1 << first)
        self.allocated = 0
        """How many there were when last looked."""

    @property
    def range(self) -> str:
        """`30000-32767`."""
        return f"{self.first}-{self.last}"

    def has(self, port: int) -> bool:
        """Whether a port is of the range."""
        return self.first <= port <= self.last

    async def claim(self, wanted: Collection[int], more: int, *, dry_run: bool = False) -> list[int]:
        """Certain ports, and as many others. Gives those others. Raises Full, and Taken or OutOfRange with the port
        as second argument; then none is taken."""
        while True:
            current = await self.read()
            given, taken = self._chosen(current.taken, wanted, more)
            if dry_run or taken == current.taken or await self.write(current, taken):
                return given

    async def release(self, ports: Collection[int]) -> None:
        """Take ports back. Raises StoreUnavailable."""
        while ports:
            current = await self.read()
            taken = current.taken & ~sum(1 << port for port in set(ports))
            if taken == current.taken or await self.write(current, taken):
                return

    async def read(self) -> Allocation:
        """What is taken now. Raises StoreUnavailable."""
        entry = await self._store.get(KEY)
        if entry is None:
            return Allocation(0, 0)
        stored = orjson.loads(entry.value)
        first = stored["range"].partition("-")[0]
        bits = int.from_bytes(base64.b64decode(stored["data"]), "big")
        self.allocated = bits.bit_count()
        return Allocation(bits << int(first), entry.mod_revision, stored["range"])

    async def write(self, current: Allocation, taken: int) -> bool:
        """Store it over `current`; False where another was first. Raises StoreUnavailable."""
        bits = (taken & self._mask) >> self.first
        data = base64.b64encode(bits.to_bytes((bits.bit_length() + 7) // 8, "big")).decode()
        kind = {"kind": "RangeAllocation", "apiVersion": "v1", "metadata": {}}
        value = orjson.dumps({**kind, "range": self.range, "data": data})
        try:
            if current.revision:
                await self._store.update(KEY, value, expect=current.revision)
            else:
                await self._store.create(KEY, value)
        except (Mismatch, KeyExists):
            return False
        self.allocated = bits.bit_count()
        return True

    def _chosen(self, taken: int, wanted: Collection[int], more: int) -> tuple[list[int], int]:
        for port in wanted:
            if not self.has(port):
                known = f"The range of valid ports is {self.range}"
                raise OutOfRange(f"provided port is not in the valid range. {known}", port)
            if taken >> port & 1:
                raise Taken(TAKEN, port)
            taken |= 1 << port
        given: list[int] = []
        size = self.last - self.first + 1
        unused = picking.free(size, picking.reserved_ports(size), lambda index: bool(taken >> (self.first + index) & 1))
        while len(given) < more:
            index = next(unused, None)
            if index is None:
                raise Full("range is full")
            given.append(self.first + index)
            taken |= 1 << given[-1]
        return given, taken
