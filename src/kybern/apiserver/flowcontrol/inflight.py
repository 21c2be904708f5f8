"""A plain limit on the requests served at a time, where API Priority and Fairness is off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kybern.apiserver.request import Request, RequestInfo, Ticket

READS = frozenset(("get", "list", "watch"))
_MASTERS = "system:masters"


class TooMany(Exception):
    """The request isn't served. `after` is when to come back, in seconds."""

    def __init__(self, after: int = 1) -> None:
        super().__init__(after)
        self.after = after


class Inflight:
    """--max-requests-inflight and --max-mutating-requests-inflight; 0 is no limit. `running` is kept by the chain:
    how many writes (True) and others (False) are being served."""

    def __init__(self, running: Mapping[bool, int], reads: int, writes: int) -> None:
        self._running = running
        self._limits = {False: reads, True: writes}

    async def admit(self, request: Request) -> Ticket:
        """Raises TooMany."""
        writes = request.info.verb not in READS
        full = self._running[writes] >= self._limits[writes] > 0
        # Whoever may do anything must be answered always, or nobody could help. Watches are no load while they last.
        if full and request.info.verb != "watch" and _MASTERS not in request.user.groups:
            raise TooMany
        return _PLACE

    def waiting(self, *, writes: bool) -> int:
        """How many wait: nobody does."""
        return 0

    def collect(self) -> Iterator[Any]:
        """For Prometheus' registry."""
        return iter(())

    def watched(self, info: RequestInfo) -> Callable[[], None]:
        """A watch begins; gives what to call at its end."""
        return _PLACE.leave


class _Place:
    headers: list[tuple[str, str]] = []

    def leave(self) -> None: ...

    def abandon(self) -> None: ...


_PLACE = _Place()
