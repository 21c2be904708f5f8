"""A priority level: its seats, its queues, and which request is next.

Fair queuing for server requests: each flow is dealt a few queues and its requests join the one with the least work
waiting. A queue's requests are dispatched as if all queues that aren't empty were served at the same speed in a virtual
world whose progress is R; the queue whose oldest request would end there first is next. Source: KEP-1040, "Fair
Queuing for Server Requests". Nothing here waits: a ticket that isn't served at once has a future.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence

from kybern.api.flowcontrol.bootstrap import EXEMPT
from kybern.api.types import Object
from kybern.apiserver.flowcontrol.counts import Counts, Demand, Limits
from kybern.apiserver.flowcontrol.schema import Schema
from kybern.apiserver.flowcontrol.work import SERVICE_SECONDS, Work
from kybern.apiserver.request import Request
from kybern.process.clock import monotonic

QUEUE_FULL, NO_SEAT, TOO_LATE, CANCELLED = "queue-full", "concurrency-limit", "time-out", "cancelled"


class Flow:
    """The requests of one distinguisher of one schema. Classification gives the same one for each."""

    __slots__ = ("counts", "distinguisher", "hand", "headers", "level", "schema")

    def __init__(self, schema: Schema, level: Level, distinguisher: str, hand: Sequence[int]) -> None:
        self.schema, self.level, self.distinguisher = schema, level, distinguisher
        self.hand = hand
        self.counts = level.counts.setdefault(schema.name, Counts())
        self.headers = [
            ("x-kubernetes-pf-flowschema-uid", schema.uid),
            ("x-kubernetes-pf-prioritylevel-uid", level.uid),
        ]


class Queue:
    """Requests that wait for the same turn."""

    __slots__ = ("executing", "index", "next_r", "seats", "waiting", "waiting_seats", "waiting_work")

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: deque[Ticket] = deque()
        self.waiting_work = 0.0
        self.waiting_seats = 0
        self.executing = self.seats = 0
        self.next_r = 0.0
        """R at which the next request would be dispatched in the virtual world."""

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.executing

    def bound(self) -> None:
        """No request is dispatched before it came, though its queue may have had a claim on seats."""
        if self.waiting and self.next_r < self.waiting[0].arrival_r:
            self.next_r = self.waiting[0].arrival_r


class Ticket:
    """One request in the level. `future` is there while it waits: true to go on, false to give up."""

    __slots__ = ("arrival_r", "arrived", "flow", "future", "headers", "queue", "request", "seats", "started", "work")

    def __init__(self, flow: Flow, work: Work, request: Request, now: float, arrival_r: float) -> None:
        self.flow, self.work, self.request = flow, work, request
        self.headers = flow.headers
        self.seats = work.seats
        self.arrived = self.started = now
        self.arrival_r = arrival_r
        self.queue: Queue | None = None
        self.future: asyncio.Future[bool] | None = None

    def leave(self) -> None:
        """The request is answered."""
        self.flow.level.leave(self)

    def abandon(self) -> None:
        """Whoever asked is gone."""
        self.flow.level.give_up(self, CANCELLED)


class Level:
    """See the module. `shares`, `nominal`, `lower`, `upper` and `limit` are set by limits.py."""

    def __init__(self, name: str) -> None:
        self.name, self.uid = name, ""
        self.spec: Object = {}
        self.exempt = name == EXEMPT
        self.quiescing = False
        self.counts: dict[str, Counts] = {}
        self.demand = Demand()
        self.shares = 0
        self.nominal = self.lower = self.upper = self.limit = 0
        self.target = self.fraction = 0.0
        self.most = 0
        """Seats that a single request may take; 0 for any number."""
        self.wanted_queues = self.queue_length = 0
        self.queues: list[Queue] = []
        self.executing = self.waiting = 0
        self.seats_in_use = self.seats_waiting = 0
        self.r = self.dispatch_r = self.latest_s = 0.0
        self._last = monotonic()
        self._active = 0
        """Queues that aren't idle."""
        self._backlog: list[int] = []
        """Indices of queues in which somebody waits, ascending."""
        self._robin = -1
        self._entered = 0

    def configure(self, obj: Object) -> None:
        """Take over a PriorityLevelConfiguration. Queues that are too many go when they are empty."""
        self.uid, self.spec = obj["metadata"].get("uid") or "", obj.get("spec") or {}
        part = self.spec.get("exempt" if self.exempt else "limited") or {}
        self.shares = part.get("nominalConcurrencyShares") or 0
        queuing = (part.get("limitResponse") or {}).get("queuing") or {}
        self.wanted_queues = queuing.get("queues") or 0
        self.queue_length = queuing.get("queueLengthLimit") or 0
        self.queues += [Queue(index) for index in range(len(self.queues), self.wanted_queues)]
        self._trim()

    @property
    def idle(self) -> bool:
        return not self.executing and not self.waiting

    @property
    def limits(self) -> Limits:
        """What uses are parts of."""
        return Limits(self.limit, self.nominal, self.wanted_queues * self.queue_length)

    def next_bounds(self) -> tuple[float, float, float, float]:
        """Of the queues in which somebody waits: least and greatest virtual start of who is next, and both less the
        work in progress."""
        queues = [self.queues[index] for index in self._backlog]
        starts = [queue.next_r for queue in queues] or [0.0]
        discounted = [queue.next_r - queue.seats * SERVICE_SECONDS for queue in queues] or [0.0]
        return min(starts), max(starts), min(discounted), max(discounted)

    def enter(self, flow: Flow, work: Work, request: Request) -> Ticket | None:
        """The ticket of a request, which is to `leave` once answered; None if it is refused. If it has a future it
        waits, and may be told by `give_up` that it waited long enough."""
        now = monotonic()
        self.advance(now)
        ticket = Ticket(flow, work, request, now, self.r)
        counts = flow.counts
        counts.took(ticket.seats)
        if self.exempt or not self.wanted_queues:
            if not self.exempt and not self._fits(ticket.seats):
                counts.reject(NO_SEAT)
                return None
            self._run(ticket)
            return ticket
        queue = self._choose(flow.hand)
        if self.seats_in_use >= self.limit and len(queue.waiting) >= self.queue_length:
            counts.reject(QUEUE_FULL)
            return None
        if queue.idle:
            queue.next_r = self.r
            self._active += 1
        counts.joined(len(queue.waiting) + 1)
        if not self.waiting and self.seats_in_use < self.limit and self._fits(ticket.seats):
            # Nobody else is waiting: what follows is enqueueing and dispatching in one.
            queue.next_r = max(queue.next_r, self.r)
            self._dispatch(ticket, queue)
            return ticket
        ticket.queue, ticket.future = queue, asyncio.get_running_loop().create_future()
        self._enqueue(ticket, queue)
        self._dispatch_all()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """The request is answered."""
        now = monotonic()
        self.advance(now)
        took = now - ticket.started
        queue, counts = ticket.queue, ticket.flow.counts
        self.executing -= 1
        counts.executing -= 1
        (counts.ran_watch if ticket.request.info.verb == "watch" else counts.ran).observe(took)
        if queue is not None:
            queue.next_r -= ticket.work.initial * (SERVICE_SECONDS - took)
            queue.bound()
            queue.executing -= 1
            if queue.idle:
                self._active -= 1
                self._trim()
        if ticket.work.seconds > 0:
            asyncio.get_running_loop().call_later(ticket.work.seconds, self._release, ticket)
        else:
            self._free(ticket)

    def give_up(self, ticket: Ticket, reason: str) -> None:
        """Take a ticket that still waits out of its queue."""
        future, queue = ticket.future, ticket.queue
        if future is None or queue is None or ticket not in queue.waiting:
            return
        now = monotonic()
        self.advance(now)
        queue.waiting.remove(ticket)
        self._dequeued(ticket, queue)
        ticket.flow.counts.reject(reason, now - ticket.arrived)
        if queue.idle:
            self._active -= 1
        queue.bound()
        self._trim()
        if not future.done():
            future.set_result(False)
        self._dispatch_all()

    def advance(self, now: float) -> None:
        """Bring R up to now, at the speed at which things have been since it was brought up last."""
        spent = now - self._last
        self._last = now
        state, times = (self.seats_in_use, self.seats_waiting, self.executing, self.waiting), self.demand.spent
        times[state] = times.get(state, 0.0) + spent
        if self._active:
            self.r += min(self.seats_in_use + self.seats_waiting, self.limit) / self._active * spent

    def resize(self, limit: int) -> None:
        """Have another number of seats."""
        self.advance(monotonic())
        self.limit = limit
        self._dispatch_all()

    # Inside.

    def _fits(self, seats: int) -> bool:
        if seats > self.limit:
            return self.executing == 0
        return self.seats_in_use + seats <= self.limit

    def _choose(self, hand: Sequence[int]) -> Queue:
        """Of the queues dealt, the one with the least work waiting; equals take turns."""
        size, offset = len(hand), self._entered
        self._entered += 1
        queues = self.queues
        best = queues[hand[offset % size]]
        if best.waiting:
            for step in range(1, size):
                queue = queues[hand[(offset + step) % size]]
                if queue.waiting_work < best.waiting_work:
                    best = queue
        return best

    def _run(self, ticket: Ticket) -> None:
        counts, seats = ticket.flow.counts, ticket.seats
        self.executing += 1
        self.seats_in_use += seats
        counts.executing += 1
        counts.seats_executing += seats
        counts.dispatched += 1
        counts.started(ticket.started - ticket.arrived)

    def _dispatch(self, ticket: Ticket, queue: Queue) -> None:
        ticket.queue = queue
        queue.executing += 1
        queue.seats += ticket.seats
        self.dispatch_r, self.latest_s = self.r, queue.next_r
        queue.next_r += ticket.work.total
        queue.bound()
        self._robin = queue.index
        self._run(ticket)

    def _enqueue(self, ticket: Ticket, queue: Queue) -> None:
        if not queue.waiting:
            insort(self._backlog, queue.index)
        queue.waiting.append(ticket)
        queue.bound()
        self._count_waiting(ticket, queue, 1)

    def _dequeued(self, ticket: Ticket, queue: Queue) -> None:
        if not queue.waiting:
            del self._backlog[bisect_left(self._backlog, queue.index)]
        self._count_waiting(ticket, queue, -1)

    def _count_waiting(self, ticket: Ticket, queue: Queue, sign: int) -> None:
        counts, seats = ticket.flow.counts, sign * ticket.seats
        queue.waiting_work += sign * ticket.work.total
        queue.waiting_seats += seats
        self.waiting += sign
        self.seats_waiting += seats
        counts.waiting += sign
        counts.seats_waiting += seats

    def _dispatch_all(self) -> None:
        while self.waiting and self.seats_in_use < self.limit:
            queue = self._next()
            ticket = queue.waiting[0]
            if not self._fits(ticket.seats):
                ticket.flow.counts.unaccommodated += 1
                return
            queue.waiting.popleft()
            self._dequeued(ticket, queue)
            ticket.started = monotonic()
            self._dispatch(ticket, queue)
            if ticket.future is not None and not ticket.future.done():
                ticket.future.set_result(True)

    def _next(self) -> Queue:
        """The queue whose oldest request ends first in the virtual world; of equals, the next in turn."""
        start = bisect_left(self._backlog, self._robin + 1)
        in_turn = [self.queues[index] for index in self._backlog[start:] + self._backlog[:start]]
        return min(in_turn, key=lambda queue: queue.next_r + queue.waiting[0].work.total)

    def _release(self, ticket: Ticket) -> None:
        self.advance(monotonic())
        self._free(ticket)

    def _free(self, ticket: Ticket) -> None:
        seats = ticket.seats
        self.seats_in_use -= seats
        ticket.flow.counts.seats_executing -= seats
        if ticket.queue is not None:
            ticket.queue.seats -= seats
        if self.waiting:
            self._dispatch_all()

    def _trim(self) -> None:
        while len(self.queues) > self.wanted_queues and self.queues[-1].idle:
            self.queues.pop()


def deal(hashed: int, deck: int, hand: int) -> tuple[int, ...]:
    """`hand` different cards of a deck, by the digits of a hash: each is drawn from what is left."""
    drawn: list[int] = []
    cards = []
    for taken in range(hand):
        hashed, card = divmod(hashed, deck - taken)
        for other in drawn:
            if card < other:
                break
            card += 1
        insort(drawn, card)
        cards.append(card)
    return tuple(cards)
