"""Events about objects, for people: counted when they repeat, combined when they are alike, dropped when they flood.

Source: client-go's event correlator and its defaults.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from kybern.api.errors import APIError, Forbidden, NotFound, ServiceUnavailable
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.process.clock import clock

log = logging.getLogger(__name__)

_CACHE = 4096
_SIMILAR_MAX, _SIMILAR_SECONDS = 10, 600.0
_SPAM_BURST, _SPAM_RATE = 25, 1 / 300
_QUEUED_MAX = 10_000
_WRITERS = 8
_ATTEMPTS, _RETRY_SECONDS = 12, 10.0
_MESSAGE_MAX = 1024

Value = TypeVar("Value")


class _Recent(Generic[Value]):
    """The values used last, up to a number."""

    def __init__(self, limit: int = _CACHE) -> None:
        self._items: OrderedDict[Any, Value] = OrderedDict()
        self._limit = limit

    def get(self, key: Any) -> Value | None:
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def put(self, key: Any, value: Value) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._limit:
            self._items.popitem(last=False)


@dataclass(slots=True)
class _Written:
    """An event as it stands on the server."""

    name: str
    count: int
    first: str


@dataclass(slots=True)
class _Similar:
    since: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Budget:
    tokens: float
    at: float


class Correlator:
    """Decides what becomes of an event: nothing, a new one, or one more of an earlier one."""

    def __init__(self) -> None:
        self._similar: _Recent[_Similar] = _Recent()
        self._written: _Recent[_Written] = _Recent()
        self._budgets: _Recent[_Budget] = _Recent()

    def correlate(self, event: Object) -> tuple[Object, str] | None:
        """The event to write and the name of the earlier one to count up ("" to create); None to drop it."""
        now = clock.time()
        ref = event["involvedObject"]
        about = tuple(ref.get(name, "") for name in ("kind", "namespace", "name", "uid", "apiVersion"))
        source = tuple(event["source"].items())
        if not self._affordable((source, about), now):
            return None
        alike = (source, about, event["type"], event["reason"], event.get("reportingComponent"))
        key: tuple[Any, ...] = (alike, ref.get("fieldPath", ""), event["message"])
        if self._is_combined(alike, event["message"], now):
            key = (alike,)
            event = {**event, "message": f"(combined from similar events): {event['message']}"[:_MESSAGE_MAX]}
        earlier = self._written.get(key)
        if earlier:
            earlier.count += 1
            event = {**event, "count": earlier.count, "firstTimestamp": earlier.first}
            return event, earlier.name
        self._written.put(key, _Written(event["metadata"]["name"], 1, event["firstTimestamp"]))
        return event, ""

    def _affordable(self, key: Any, now: float) -> bool:
        budget = self._budgets.get(key) or _Budget(_SPAM_BURST, now)
        budget.tokens = min(_SPAM_BURST, budget.tokens + (now - budget.at) * _SPAM_RATE)
        budget.at = now
        self._budgets.put(key, budget)
        if budget.tokens < 1:
            return False
        budget.tokens -= 1
        return True

    def _is_combined(self, key: Any, message: str, now: float) -> bool:
        similar = self._similar.get(key)
        if similar is None or now - similar.since > _SIMILAR_SECONDS:
            similar = _Similar(now)
            self._similar.put(key, similar)
        similar.since = now
        if message in similar.messages:
            return False
        if len(similar.messages) + 1 < _SIMILAR_MAX:
            similar.messages.add(message)
            return False
        # One of those known makes way: if it comes back, it is combined too.
        similar.messages.pop()
        similar.messages.add(message)
        return True


class EventRecorder:
    """Writes core/v1 Events in the background, those of one object in order; never makes its caller wait."""

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._events = client.resource("v1", "events")
        self._component, self._host = component, host
        self._correlator = Correlator()
        self._queues: list[asyncio.Queue[Object]] = [asyncio.Queue() for _ in range(_WRITERS)]
        """One per writer; an object's events all go to the same."""
        self._tasks: list[asyncio.Task[None]] = []

    def event(self, obj: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Say that `reason` happened to `obj` (an object, or an ObjectReference made by `reference`).
        `type` is Normal or Warning. Dropped if ten thousand wait already."""
        if sum(queue.qsize() for queue in self._queues) >= _QUEUED_MAX:
            log.warning("too many events wait; dropped %s: %s", reason, message)
            return
        if not self._tasks:
            name = f"events of {self._component}"
            self._tasks = [asyncio.create_task(self._run(queue), name=name) for queue in self._queues]
        ref = reference(obj, field_path)
        queue = self._queues[hash((ref.get("uid"), ref["name"])) % _WRITERS]
        queue.put_nowait(self._event(ref, type, reason, message[:_MESSAGE_MAX]))

    async def close(self, timeout: float = 1.0) -> None:
        """Write what waits, for at most `timeout` seconds."""
        if not self._tasks:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                for queue in self._queues:
                    await queue.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def _event(self, ref: Object, type: str, reason: str, message: str) -> Object:
        stamp = clock.stamp()
        source = {"component": self._component}
        if self._host:
            source["host"] = self._host
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{ref['name']}.{int(clock.time() * 1e9):x}",
                "namespace": ref.get("namespace") or "default",
            },
            "involvedObject": ref,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    async def _run(self, queue: asyncio.Queue[Object]) -> None:
        while True:
            event = await queue.get()
            try:
                if decided := self._correlator.correlate(event):
                    await self._write(*decided)
            except Exception:
                log.exception("an event could not be written")
            finally:
                queue.task_done()

    async def _write(self, event: Object, earlier: str) -> None:
        for _ in range(_ATTEMPTS):
            try:
                if earlier:
                    change = {name: event[name] for name in ("count", "message", "firstTimestamp", "lastTimestamp")}
                    await self._events.patch(earlier, change, event["metadata"]["namespace"], type="strategic")
                else:
                    await self._events.create(event)
                return
            except NotFound:
                if not earlier:
                    return
                # The earlier one expired on the server: start over with a new one that keeps the count.
                event, earlier = {**event, "metadata": {**event["metadata"], "name": earlier}}, ""
            except ServiceUnavailable as error:
                log.debug("event not written yet: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            except APIError as error:
                # A namespace that is ending takes no new events; that is no news.
                level = logging.DEBUG if isinstance(error, Forbidden) else logging.WARNING
                log.log(level, "event %s refused: %s", event["reason"], error)
                return


def reference(obj: Object, field_path: str = "") -> Object:
    """An ObjectReference to an object; a reference (with `name` on top) is given back as it is."""
    if "metadata" not in obj:
        return {**obj, "fieldPath": field_path} if field_path else obj
    meta = obj["metadata"]
    ref = {
        "kind": obj.get("kind", ""),
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta.get("uid", ""),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": meta.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {name: value for name, value in ref.items() if value}
