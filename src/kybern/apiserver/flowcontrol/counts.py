"""What is counted per priority level and flow schema."""

from __future__ import annotations

from typing import NamedTuple

from kybern.process.metrics import Tally

WAIT_BOUNDS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
RUN_BOUNDS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
LENGTH_BOUNDS = (0, 10, 25, 50, 100, 250, 500, 1000)
SEATS_BOUNDS = (1, 2, 4, 10)
USE_BOUNDS = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
DEMAND_BOUNDS = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.4, 1.7, 2, 2.8, 4, 6)
REQUEST_BOUNDS = (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1)
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
    """How many seats and requests there were, for how long: since the start for the metrics, and since the last
    `digest` for borrowing."""

    def __init__(self) -> None:
        self.spent: dict[tuple[int, int, int, int], float] = {}
        """(seats in use, seats waited for, requests served, requests waiting) -> seconds, since the last digest."""
        self._uses = Uses()
        self.average = self.deviation = self.smoothed = 0.0
        self.high = 0

    def digest(self, limits: Limits) -> None:
        """Bring average, deviation and peak up to date, and smooth: demand falls slowly in our memory."""
        self._uses = self.uses(limits)
        seconds = sum(self.spent.values())
        average = square = 0.0
        self.high = 0
        for (in_use, waited_for, _, _), spent in self.spent.items():
            wanted = in_use + waited_for
            self.high = max(self.high, wanted)
            average += wanted * spent
            square += wanted * wanted * spent
        self.spent = {}
        if seconds > 0:
            average, square = average / seconds, square / seconds
        self.average, self.deviation = average, max(square - average * average, 0.0) ** 0.5
        envelope = average + self.deviation
        self.smoothed = max(envelope, SMOOTHING * self.smoothed + (1 - SMOOTHING) * envelope)

    def uses(self, limits: Limits) -> Uses:
        """Parts of the limits, weighed by the seconds they lasted."""
        made = Uses()
        made.add(self._uses)
        seats, nominal, places = (max(limit, 1) for limit in limits)
        for (in_use, waited_for, executing, waiting), spent in self.spent.items():
            made.seats.observe(in_use / seats, spent)
            made.demand.observe((in_use + waited_for) / nominal, spent)
            made.executing.observe(executing / seats, spent)
            made.waiting.observe(waiting / places, spent)
        return made


class Limits(NamedTuple):
    """What a level has: seats now, seats by its shares, places in queues."""

    seats: int
    nominal: int
    places: int


class Uses:
    """Seats in use and demanded, requests served and waiting, as parts of their limits."""

    __slots__ = ("demand", "executing", "seats", "waiting")

    def __init__(self) -> None:
        self.seats, self.demand = Tally(USE_BOUNDS), Tally(DEMAND_BOUNDS)
        self.executing, self.waiting = Tally(REQUEST_BOUNDS), Tally(REQUEST_BOUNDS)

    def add(self, other: Uses) -> None:
        """Count what another has counted."""
        for name in self.__slots__:
            getattr(self, name).add(getattr(other, name))


SMOOTHING = 0.977
"""What is kept of yesterday's demand each time (KEP-1040: halved in about five minutes)."""
