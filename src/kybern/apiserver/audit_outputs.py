"""Where audit events go: a file, another server; at once, or in batches when they are ready.

    blocking          the event is out before the request goes on
    blocking-strict   and a request whose arrival can't be written down is refused
    batch             it waits in a buffer for others; where that is full it is lost, and counted

Source: kube-apiserver's reference, the --audit-log and --audit-webhook flags; Kubernetes documentation, "Auditing".
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from kybern.api.types import Object
from kybern.apiserver.audit_log import AuditLog
from kybern.client.workqueue import TokenBucket

BLOCKING, STRICT, BATCH = "blocking", "blocking-strict", "batch"
MODES = (BATCH, BLOCKING, STRICT)
TRUNCATED = "audit.k8s.io/truncated"
ENDS = 5.0
"""Seconds that the last batches have when the server ends."""

log = logging.getLogger(__name__)


class Event:
    """An event that is put together when it is needed, once for all outputs."""

    __slots__ = ("_bare", "_full", "_make", "_object")

    def __init__(self, make: Callable[[], Object]) -> None:
        self._make = make
        self._object: Object | None = None
        self._full: bytes | None = None
        self._bare: bytes | None = None

    @property
    def object(self) -> Object:
        """As a dictionary; response objects may be fragments of JSON."""
        if self._object is None:
            self._object = self._make()
        return self._object

    def json(self, limit: int = 0) -> bytes | None:
        """As JSON; what is beyond `limit` (0: none) goes without its objects. None if even that is too much."""
        if self._full is None:
            self._full = orjson.dumps(self.object)
        if not limit or len(self._full) <= limit:
            return self._full
        if self._bare is None:
            bare = {k: v for k, v in self.object.items() if k not in ("requestObject", "responseObject")}
            bare["annotations"] = {**(bare.get("annotations") or {}), TRUNCATED: "true"}
            self._bare = orjson.dumps(bare)
        return self._bare if len(self._bare) <= limit else None


class Output(Protocol):
    """One place."""

    @property
    def plugin(self) -> str:
        """Its name in metrics."""
        ...

    @property
    def strict(self) -> bool:
        """Whether the mode is blocking-strict."""
        ...

    @property
    def lost(self) -> int:
        """How many events are written nowhere."""
        ...

    def write(self, event: Event) -> Awaitable[bool] | bool:
        """Whether it is out, or will be; or what tells that later."""
        ...

    async def close(self) -> None:
        """Write what is left."""
        ...


class LogOutput:
    """Writes to the file at once."""

    plugin = "log"

    def __init__(self, file: AuditLog, *, strict: bool = False, limit: int = 0, legacy: bool = False) -> None:
        self.strict, self.lost = strict, 0
        self._file, self._limit, self._legacy = file, limit, legacy

    def write(self, event: Event) -> bool:
        return self.put([event])

    def put(self, events: Sequence[Event]) -> bool:
        """Write several."""
        lines = []
        for event in events:
            try:
                line = legacy(event.object) if self._legacy else event.json(self._limit)
            except (TypeError, ValueError):
                log.exception("an audit event could not be encoded")
                line = None
            if line is None:
                self.lost += 1
            else:
                lines.append(line + b"\n")
        try:
            self._file.append(lines)
        except OSError as error:
            self.lost += len(lines)
            log.error("%d audit events are lost: %s", len(lines), error.strerror)
            return False
        return len(lines) == len(events)

    async def close(self) -> None:
        await asyncio.to_thread(self._file.close)


@dataclass(slots=True, frozen=True)
class Batches:
    """How a buffer is emptied: `qps` 0 is without a throttle; seconds."""

    buffer: int = 10_000
    size: int = 400
    wait: float = 30.0
    qps: float = 0.0
    burst: int = 0


class Buffer:
    """Gathers events and has `deliver` take care of a batch at a time; of several batches at once, if `many`."""

    strict = False

    def __init__(
        self,
        output: Any,
        deliver: Callable[[list[Event]], Awaitable[bool]],
        options: Batches,
        *,
        many: bool = False,
    ) -> None:
        self.plugin: str = output.plugin
        self._output, self._deliver, self._options, self._many = output, deliver, options, many
        self._events: deque[Event] = deque()
        self._bucket = TokenBucket(options.qps, max(options.burst, 1)) if options.qps else None
        self._dropped = 0
        self._closing = False
        self._more = asyncio.Event()
        self._running: set[asyncio.Future[bool]] = set()
        self._task = asyncio.ensure_future(self._run())

    @property
    def lost(self) -> int:
        return self._dropped + int(self._output.lost)

    def write(self, event: Event) -> bool:
        if self._closing or len(self._events) >= self._options.buffer:
            self._dropped += 1
            return False
        self._events.append(event)
        if len(self._events) == 1 or len(self._events) >= self._options.size:
            self._more.set()
        return True

    async def close(self) -> None:
        self._closing = True
        self._more.set()
        try:
            async with asyncio.timeout(ENDS):
                await self._task
                await asyncio.gather(*self._running)
        except TimeoutError:
            log.error("%d audit events are not delivered: the server ends", len(self._events))
        for running in self._running:
            running.cancel()
        await self._output.close()

    async def _run(self) -> None:
        while True:
            while not self._events:
                if self._closing:
                    return
                self._more.clear()
                await self._more.wait()
            await self._fill()
            batch = [self._events.popleft() for _ in range(min(len(self._events), max(self._options.size, 1)))]
            if self._bucket is not None and (seconds := self._bucket.reserve()) > 0 and not self._closing:
                await asyncio.sleep(seconds)
            running = asyncio.ensure_future(self._deliver(batch))
            self._running.add(running)
            running.add_done_callback(self._running.discard)
            if not self._many:
                await asyncio.wait({running})

    async def _fill(self) -> None:
        """Wait until there are enough events, or it has been long enough."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._options.wait
        while len(self._events) < self._options.size and not self._closing and (left := end - loop.time()) > 0:
            self._more.clear()
            try:
                async with asyncio.timeout(left):
                    await self._more.wait()
            except TimeoutError:
                return


def batched_log(output: LogOutput, options: Batches) -> Buffer:
    """The file, written in batches by a thread."""

    async def deliver(events: list[Event]) -> bool:
        return await asyncio.to_thread(output.put, events)

    return Buffer(output, deliver, options)


def legacy(event: Object) -> bytes:
    """An event as one line of words, the form before events were objects."""
    user, other = event.get("user") or {}, event.get("impersonatedUser")
    name = user.get("username") or ""
    groups = _quoted_list(user["groups"]) if name and user.get("groups") else "<none>"
    words = {
        "id": event["auditID"],
        "stage": event["stage"],
        "ip": next(iter(event.get("sourceIPs") or ()), "<unknown>"),
        "method": event["verb"],
        "user": name or "<none>",
        "groups": groups,
        "as": other.get("username", "") if other else "<self>",
        "asgroups": _quoted_list(other["groups"]) if other and other.get("groups") else "<lookup>",
        "user-agent": event.get("userAgent") or "",
        "namespace": (event.get("objectRef") or {}).get("namespace") or "<none>",
        "uri": event["requestURI"],
        "response": str((event.get("responseStatus") or {}).get("code") or "<deferred>"),
    }
    said = " ".join(f"{key}={_quoted(value)}" for key, value in words.items())
    return f"{event['requestReceivedTimestamp']} AUDIT: {said}".encode("utf-8", "replace")


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _quoted_list(texts: Sequence[str]) -> str:
    return ",".join(map(_quoted, texts))
