"""Pools that service addresses and node ports come from: who has what, and what is free.

The lower part of a pool is left to those who ask for a certain value, so that they seldom find it taken.
Source: KEP-3070 Reserve Service IP ranges, KEP-3668 Reserve nodeport ranges.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from typing import Generic, TypeVar

from kybern.process.clock import random

_TRIES = 32
"""Random picks before the pool is searched in order."""

T = TypeVar("T", bound=Hashable)


class Taken(Exception):
    """Someone else has the value."""


class OutOfRange(Exception):
    """The value isn't of the pool. Says which are."""


class Full(Exception):
    """Nothing is free."""


class Pool(Generic[T]):
    """`size` values by index; `owners` has the owner of each value in use."""

    def __init__(self, size: int, reserved: int) -> None:
        self._size, self._reserved = size, reserved
        self.owners: dict[T, str] = {}

    def value(self, index: int) -> T:
        """The value at an index below `size`."""
        raise IndexError(index)

    def check(self, value: T) -> None:
        """Raise OutOfRange unless the value is of the pool."""

    def take(self, value: T, owner: str) -> None:
        """Give a certain value to the owner, who may have it already. Raises Taken, OutOfRange."""
        self.check(value)
        if self.owners.setdefault(value, owner) != owner:
            raise Taken

    def take_any(self, owner: str) -> T:
        """Give a free value to the owner, of the upper part while it lasts. Raises Full."""
        for low, high in ((self._reserved, self._size), (0, self._reserved)):
            if low >= high:
                continue
            for _ in range(_TRIES):
                value = self.value(random.randrange(low, high))
                if value not in self.owners:
                    self.owners[value] = owner
                    return value
            if len(self.owners) < self._size:
                for index in range(low, high):
                    value = self.value(index)
                    if value not in self.owners:
                        self.owners[value] = owner
                        return value
        raise Full

    def free(self, value: T, owner: str) -> None:
        """Take it back, if it is the owner's."""
        if self.owners.get(value) == owner:
            del self.owners[value]


class AddressPool(Pool[str]):
    """The addresses of a service network, without the network's own and IPv4's broadcast address."""

    def __init__(self, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
        self.network = network
        size = min(network.num_addresses - (2 if network.version == 4 else 1), 1 << 30)
        super().__init__(size, min(max(16, size // 16), 256) if size > 16 else 0)

    def value(self, index: int) -> str:
        return str(self.network.network_address + 1 + index)

    def check(self, value: str) -> None:
        address = ipaddress.ip_address(value)
        edges = (self.network.network_address, self.network.broadcast_address if self.network.version == 4 else None)
        if address.version != self.network.version or address not in self.network or address in edges:
            raise OutOfRange("the provided network does not match the current range")


class PortPool(Pool[int]):
    """The node ports from `first` to `last`, both included."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        size = last - first + 1
        super().__init__(size, min(max(16, size // 32), 128) if size > 16 else 0)

    def value(self, index: int) -> int:
        return self.first + index

    def check(self, value: int) -> None:
        if not self.first <= value <= self.last:
            raise OutOfRange(
                f"provided port is not in the valid range. The range of valid ports is {self.first}-{self.last}"
            )
