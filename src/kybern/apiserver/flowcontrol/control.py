"""Follows the configuration of API Priority and Fairness, says of each request which flow it belongs to, and lets it
through, makes it wait or refuses it.

    flows = FlowControl(registry, concurrency=600, wait_limit=15)
    ticket = await flows.admit(request)        # raises TooMany
    try: ...
    finally: ticket.leave()

Classifying costs a look into a dictionary: answers are kept until the configuration changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from kybern.api.errors import APIError
from kybern.api.flowcontrol import bootstrap
from kybern.api.flowcontrol.flowschema import DANGLING
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.flowcontrol import limits, work
from kybern.apiserver.flowcontrol.inflight import READS, TooMany
from kybern.apiserver.flowcontrol.level import CANCELLED, TOO_LATE, Flow, Level, Ticket, deal
from kybern.apiserver.flowcontrol.retry import RetryAfter
from kybern.apiserver.flowcontrol.schema import Schema
from kybern.apiserver.flowcontrol.telemetry import families
from kybern.apiserver.flowcontrol.watches import WatchCounts
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import Request, RequestInfo, UserInfo
from kybern.process.clock import clock, monotonic
from kybern.store.base import StoreError

FLOW_SCHEMA = "FlowSchema"
SCHEMAS, LEVELS = "flowschemas", "prioritylevelconfigurations"
BORROW_SECONDS = 10.0
MAINTAIN_SECONDS = 60.0
MAX_FLOWS = 16_384
"""Classifications kept; beyond that they are made anew."""

log = logging.getLogger(__name__)


class FlowControl:
    """See the module. Works by the mandatory objects until it has started."""

    def __init__(self, registry: Registry, *, concurrency: int, wait_limit: float) -> None:
        self.concurrency, self.wait_limit = concurrency, wait_limit
        self.levels: dict[str, Level] = {}
        self.watches = WatchCounts()
        self.ready = False
        self._registry = registry
        self._schemas: list[Schema] = []
        self._flows: dict[tuple[Any, ...], Flow] = {}
        self._by_name: dict[tuple[str, str], Flow] = {}
        self._retry = RetryAfter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._digest((), ())

    # For each request.

    async def admit(self, request: Request) -> Ticket:
        """Return once the request may go on. Raises TooMany."""
        flow, info = self.classify(request.user, request.info), request.info
        level = flow.level
        wanted = work.ONE
        if info.verb != "get" and info.is_resource:
            watchers = 0 if info.verb in ("list", "watch") else self.watches.number(info)
            flow.counts.watchers.observe(watchers)
            wanted = work.estimate(request, self._registry, watchers, level.most)
        ticket = level.enter(flow, wanted, request)
        if ticket is None or (ticket.future is not None and not await self._wait(ticket)):
            self._retry.dropped(level.name)
            request.ticket = _Refused(flow)
            raise TooMany(self._retry.seconds(level.name))
        return ticket

    def waiting(self, *, writes: bool) -> int:
        """How many writes, or others, wait for their turn."""
        queues = [queue for level in self.levels.values() if level.waiting for queue in level.queues]
        waiting = [ticket.request.info.verb not in READS for queue in queues for ticket in queue.waiting]
        return waiting.count(writes)

    def collect(self) -> Iterator[Any]:
        """For Prometheus' registry."""
        return families(self.levels.values())

    def watched(self, info: RequestInfo) -> Callable[[], None]:
        """A watch begins; gives what to call at its end."""
        return self.watches.begin(info)

    def classify(self, user: UserInfo, info: RequestInfo) -> Flow:
        """The flow of a request."""
        key: tuple[Any, ...]
        if info.is_resource:
            key = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace)
        else:
            key = (user.name, user.groups, info.verb, info.path)
        found = self._flows.get(key)
        if found is None:
            if len(self._flows) >= MAX_FLOWS:
                self._flows.clear()
                self._by_name.clear()
            found = self._flows[key] = self._flow(user, info)
        return found

    def _flow(self, user: UserInfo, info: RequestInfo) -> Flow:
        # The catch-all schema matches whoever is left.
        schema = next((schema for schema in self._schemas if schema.matches(user, info)), self._schemas[-1])
        distinguisher = schema.distinguisher(user, info)
        found = self._by_name.get((schema.name, distinguisher))
        if found is None:
            level = self.levels[schema.level]
            hashed = hashlib.sha256(f"{schema.name}\0{distinguisher}".encode("utf-8", "surrogatepass")).digest()
            queuing = ((level.spec.get("limited") or {}).get("limitResponse") or {}).get("queuing") or {}
            hand = queuing.get("handSize") or 0
            cards = deal(int.from_bytes(hashed[:8], "little"), level.wanted_queues, min(hand, level.wanted_queues))
            found = self._by_name[schema.name, distinguisher] = Flow(schema, level, distinguisher, cards)
        return found

    async def _wait(self, ticket: Ticket) -> bool:
        assert ticket.future is not None
        level, ticket.request.ticket = ticket.flow.level, ticket
        timer = asyncio.get_running_loop().call_later(self.wait_limit, level.give_up, ticket, TOO_LATE)
        try:
            return await ticket.future
        except asyncio.CancelledError:
            if ticket.future.done() and not ticket.future.cancelled() and ticket.future.result():
                ticket.leave()
            else:
                level.give_up(ticket, CANCELLED)
            raise
        finally:
            timer.cancel()
            ticket.request.elsewhere += monotonic() - ticket.arrived

    # The configuration.

    async def start(self, maintain: Callable[[], Awaitable[None]]) -> None:
        """Follow the objects; `maintain` is called now and then, to see that those of every cluster are there."""
        for plural in (SCHEMAS, LEVELS):
            await self._registry.started(self._resource(plural))
            self._registry.lister(bootstrap.GROUP, plural).on_change(self._changed)
        self.digest()
        self.ready = True
        self._spawn(self._every(BORROW_SECONDS, self._borrow))
        self._spawn(self._every(MAINTAIN_SECONDS, maintain))

    async def stop(self) -> None:
        """End what start began."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def digest(self) -> None:
        """Take over the objects as they are."""
        schemas, levels = (self._registry.lister(bootstrap.GROUP, plural).list() for plural in (SCHEMAS, LEVELS))
        self._digest(schemas, levels)
        for obj in schemas:
            self._judge(obj)

    def _digest(self, schemas: Iterable[Object], levels: Iterable[Object]) -> None:
        objects = {obj["metadata"]["name"]: obj for obj in levels}
        for obj in bootstrap.priority_levels():
            if obj["metadata"]["name"] in bootstrap.MANDATORY:
                objects.setdefault(obj["metadata"]["name"], obj)
        for name, level in list(self.levels.items()):
            level.quiescing = name not in objects
            if level.quiescing and level.idle:
                del self.levels[name]
        for name, obj in objects.items():
            if name not in self.levels:
                self.levels[name] = Level(name)
            self.levels[name].configure(obj)
        made = [Schema(obj) for obj in schemas]
        known = {schema.name for schema in made}
        made += [Schema(obj) for obj in _mandatory_schemas() if obj["metadata"]["name"] not in known]
        made.sort(key=lambda schema: (schema.precedence, schema.name))
        self._schemas = [schema for schema in made if schema.level in objects]
        self._flows.clear()
        self._by_name.clear()
        limits.share(self.levels.values(), self.concurrency)
        limits.borrow(self.levels.values())

    async def _borrow(self) -> None:
        limits.borrow(self.levels.values())
        if any(level.quiescing and level.idle for level in self.levels.values()):
            self.digest()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if not self.ready:
            return
        if old and new and old.get("spec") == new.get("spec"):
            if new["kind"] == FLOW_SCHEMA and old.get("status") != new.get("status"):
                self._judge(new)
            return
        self.digest()

    def _judge(self, obj: Object) -> None:
        """See that a flow schema says whether its level is there."""
        condition = self._condition(obj)
        if condition is not None:
            self._spawn(self._tell(obj["metadata"]["name"], condition))

    def _condition(self, obj: Object) -> Object | None:
        """The Dangling condition that a schema should have, where it has another."""
        level = ((obj.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name") or ""
        said = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
        found = level in self.levels and not self.levels[level].quiescing
        wanted = {
            "type": DANGLING,
            "status": "False" if found else "True",
            "reason": "Found" if found else "NotFound",
            "message": f"{said} and it exists" if found else f"{said} but there is no such object",
        }
        there: Object = next((c for c in _conditions(obj) if c.get("type") == DANGLING), {})
        return None if all(there.get(field) == value for field, value in wanted.items()) else wanted

    async def _tell(self, name: str, condition: Object) -> None:
        def change(obj: Object) -> Object:
            others = [each for each in _conditions(obj) if each.get("type") != DANGLING]
            told = {**condition, "lastTransitionTime": clock.stamp()}
            return {**obj, "status": {**(obj.get("status") or {}), "conditions": [*others, told]}}

        try:
            await self._registry.guaranteed_update(self._resource(SCHEMAS), "", name, change)
        except (APIError, StoreError) as error:
            log.debug("condition of flow schema %s: %s", name, error)

    def _resource(self, plural: str) -> Resource:
        found = self._registry.scheme.resource(bootstrap.GROUP, plural)
        assert found is not None
        return found

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            with contextlib.suppress(APIError, StoreError):
                await act()


class _Refused:
    """Has no place, but its headers say why."""

    def __init__(self, flow: Flow) -> None:
        self.flow, self.headers = flow, flow.headers

    def leave(self) -> None: ...

    def abandon(self) -> None: ...


def _conditions(obj: Object) -> list[Object]:
    return list((obj.get("status") or {}).get("conditions") or ())


def _mandatory_schemas() -> list[Object]:
    return [obj for obj in bootstrap.flow_schemas() if obj["metadata"]["name"] in bootstrap.MANDATORY]
