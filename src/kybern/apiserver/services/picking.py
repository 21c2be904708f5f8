"""Which free value of a range to give to those who don't ask for a certain one.

The lower part of a range is left to those who do, as long as the upper one lasts, so that they seldom find it taken.
Source: KEP-3070 Reserve Service IP ranges, KEP-3668 Reserve nodeport ranges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kybern.process.clock import random

_TRIES = 32
"""Random picks before the range is searched in order."""


def reserved_addresses(size: int) -> int:
    """How many of the first addresses are left to those who ask for them."""
    return min(max(16, size // 16), 256) if size > 16 else 0


def reserved_ports(size: int) -> int:
    """The same of ports."""
    return min(max(16, size // 32), 128) if size > 16 else 0


def free(size: int, reserved: int, taken: Callable[[int], bool]) -> Iterator[int]:
    """Free indexes below `size`, in the order in which to try them; ends when there is none."""
    for low, high in ((reserved, size), (0, reserved)):
        if low >= high:
            continue
        for _ in range(_TRIES):
            index = random.randrange(low, high)
            if not taken(index):
                yield index
        for index in range(low, high):
            if not taken(index):
                yield index
