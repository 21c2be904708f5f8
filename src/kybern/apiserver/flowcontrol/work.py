"""How much work a request is: the seats it takes, and those it goes on taking once it is answered.

A list takes seats for what it holds in memory; a write with many watchers takes some while they are told of it.
Source: KEP-1040, "Width of requests"; Kubernetes documentation, "Seats occupied by a request".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kybern.apiserver.request import Request

if TYPE_CHECKING:
    from kybern.apiserver.registry import Registry

SERVICE_SECONDS = 0.003
"""What a request is guessed to take before it is known."""
BYTES_PER_SEAT = 100_000
STREAMED_BYTES = 1_000_000
"""A list is sent in pieces: it never is in memory whole."""
MAX_LIST_SEATS, MAX_WRITE_SEATS = 100, 10
WATCHES_PER_SEAT = 10
EVENT_SECONDS = 0.005


class Work:
    """`seats` are taken from start to end, and `seconds` longer than the answer takes if anybody has to be told.
    `total` is in seat-seconds, as guessed before it runs."""

    __slots__ = ("final", "initial", "seats", "seconds", "total")

    def __init__(self, initial: int, final: int = 0, seconds: float = 0.0) -> None:
        self.initial, self.final, self.seconds = initial, final, seconds
        self.seats = max(initial, final)
        self.total = initial * SERVICE_SECONDS + final * seconds


ONE = Work(1)


def estimate(request: Request, registry: Registry, watchers: int, most: int) -> Work:
    """The work of a request that isn't a get. `watchers` hear of a write to it; `most` is what its priority level
    gives to a single request (0: no limit of its own)."""
    info = request.info
    if info.verb == "list" or (info.verb == "watch" and request.flag("sendInitialEvents")):
        return _list(request, registry, min(most or MAX_LIST_SEATS, MAX_LIST_SEATS))
    if watchers < WATCHES_PER_SEAT or info.verb not in ("create", "update", "patch", "delete"):
        return ONE
    wanted = math.ceil(watchers / WATCHES_PER_SEAT)
    final = min(wanted, most or MAX_WRITE_SEATS, MAX_WRITE_SEATS)
    return Work(1, final, wanted * EVENT_SECONDS / final)


def _list(request: Request, registry: Registry, most: int) -> Work:
    info = request.info
    resource = registry.scheme.resource(info.group, info.resource, info.version)
    cache = registry.caches.get(resource.prefix()) if resource is not None else None
    if cache is None or not cache.running or info.name:
        return ONE
    number = len(cache.items)
    limit = request.arg("limit")
    if limit.isdecimal() and 0 < int(limit) < number:
        number = int(limit)
    size = cache.bytes / len(cache.items) if cache.items else 0
    seats = math.ceil(min(number * size, STREAMED_BYTES) / BYTES_PER_SEAT)
    return ONE if seats <= 1 else Work(min(seats, most))
