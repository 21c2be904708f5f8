"""What is counted per priority level and flow schema."""

from __future__ import annotations

from kybern.process.metrics import Tally

WAIT_BOUNDS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
RUN_BOUNDS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
LENGTH_BOUNDS = (0, 10, 25, 50, 100, 250, 500, 1000)
SEATS_BOUNDS = (1, 2, 4, 10)
USE_BOUNDS = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
WATCH_BOUNDS = (0, 1, 10, 100, 1000, 10000)


class Counts:
    """Of one flow schema in one priority level."""

    __slots__ = (
        "dispatched", "executing", "length", "ran", "ran_watch", "rejected", "seats", "seats_executing",
        "seats_waiting", "unaccommodated", "waited", "waited_in_vain", "waiting", "watchers",
    )  # fmt: skip

    def __init__(self) -> None:
        self.dispatched = 0
        self.rejected: dict[str, int] = {}
        self.unaccommodated = 0
        self.executing = self.seats_executing = 0
        self.waiting = self.seats_waiting = 0
        self.waited, self.waited_in_vain = Tally(WAIT_BOUNDS), Tally(WAIT_BOUNDS)
        self.ran, self.ran_watch = Tally(RUN_BOUNDS), Tally(RUN_BOUNDS)
        self.length = Tally(LENGTH_BOUNDS)
        self.seats = Tally(SEATS_BOUNDS)
        self.watchers = Tally(WATCH_BOUNDS)

    # Of most requests is the same to be said: one seat, nobody before them, no wait.

    def took(self, seats: int) -> None:
        """Note the seats of a request."""
        tally = self.seats
        if seats == 1:
            tally.numbers[0] += 1
            tally.total += 1
        else:
            tally.observe(seats)

    def joined(self, length: int) -> None:
        """Note the length of the queue that a request joined, with it."""
        tally = self.length
        if length == 1:
            tally.numbers[1] += 1
            tally.total += 1
        else:
            tally.observe(length)

    def started(self, waited: float) -> None:
        """Note that a request was served after so many seconds."""
        if waited:
            self.waited.observe(waited)
        else:
            self.waited.numbers[0] += 1

    def reject(self, reason: str, waited: float = 0.0) -> None:
        """Note a request that wasn't served: queue-full, concurrency-limit, time-out or cancelled."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self.waited_in_vain.observe(waited)


class Demand:
    """How many seats were taken and wanted, for how long: since the start for the metrics, and since the last
    `digest` for borrowing."""

    def __init__(self) -> None:
        self.spent: dict[int, float] = {}
        """(seats in use + 65536 × seats waited for) -> seconds, since the last digest."""
        self._utilization = Tally(USE_BOUNDS)
        self.average = self.deviation = self.smoothed = 0.0
        self.high = 0

    def digest(self, limit: int) -> None:
        """Bring average, deviation and peak up to date, and smooth: demand falls slowly in our memory."""
        self._utilization = self.utilization(limit)
        seconds = sum(self.spent.values())
        average = square = 0.0
        self.high = 0
        for packed, spent in self.spent.items():
            wanted = (packed & 0xFFFF) + (packed >> 16)
            self.high = max(self.high, wanted)
            average += wanted * spent
            square += wanted * wanted * spent
        self.spent = {}
        if seconds > 0:
            average, square = average / seconds, square / seconds
        self.average, self.deviation = average, max(square - average * average, 0.0) ** 0.5
        envelope = average + self.deviation
        self.smoothed = max(envelope, SMOOTHING * self.smoothed + (1 - SMOOTHING) * envelope)

    def utilization(self, limit: int) -> Tally:
        """The part of the seats in use, weighed by the seconds it lasted."""
        made = Tally(USE_BOUNDS)
        made.add(self._utilization)
        for packed, spent in self.spent.items():
            made.observe((packed & 0xFFFF) / max(limit, 1), spent)
        return made


SMOOTHING = 0.977
"""What is kept of yesterday's demand each time (KEP-1040: halved in about five minutes)."""
