"""The embedded durable store: the memory store behind a log in a SQLite file.

Writes queue up while one batch is on its way to the disk; then they go together, as one transaction. A batch is decided
on the event loop against the state plus the batch's own earlier writes, appended and synced by the writer thread, and
only then applied, told to the watches and acknowledged: nothing is seen that a crash could undo.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kybern.process.clock import clock
from kybern.store.base import Entry, Event, StoreError, StoreUnavailable
from kybern.store.memory import MemoryStore, Retention
from kybern.store.model import Write
from kybern.store.sqlite_file import BATCH, SqliteFile

log = logging.getLogger(__name__)

BATCH_BYTES = 8 << 20
"""A batch is closed once its values exceed this."""
DISCARD = 500
"""Records deleted per transaction by compaction, so that no writer waits long behind one."""


class SqliteStore(MemoryStore):
    """A Store in a SQLite file, all of its current state in memory."""

    def __init__(self, file: SqliteFile, executor: ThreadPoolExecutor, retention: Retention | None = None) -> None:
        super().__init__(retention)
        self.model = file.model
        self._file, self._executor = file, executor
        self._queue: deque[tuple[Write, asyncio.Future[Entry]]] = deque()
        self._writing = False
        self._failing = False
        self._garbage = file.garbage
        self._discarding = False
        self._last_lease = max(file.leases, default=0)
        for lease, expires in file.leases.items():
            self._start_lease(lease, expires)
        for lease in self.model.bound.keys() - file.leases.keys():
            self._on_expiry(lease)
        self._tick()

    @classmethod
    async def open(cls, path: str, *, retention: Retention | None = None) -> SqliteStore:
        """Open or make the file and recover its state. Raises StoreUnavailable: in use, damaged, foreign, no space."""
        executor = ThreadPoolExecutor(1, thread_name_prefix="store")
        try:
            file = await asyncio.get_running_loop().run_in_executor(executor, SqliteFile, path)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(file, executor, retention)

    async def grant(self, ttl: float) -> int:
        self._check_open()
        lease, expires = self._new_lease_id(), clock.time() + ttl
        await self._in_thread(partial(self._file.add_lease, lease, expires))
        self._start_lease(lease, expires)
        return lease

    async def compact(self, revision: int) -> None:
        self._check_open()
        self._compact_model(revision)
        await self._in_thread(partial(self._file.discard, self.model.compacted, ()))

    async def advance(self, revision: int) -> None:
        await super().advance(revision)
        await self._in_thread(partial(self._file.discard, self.model.compacted, ()))

    async def size(self) -> int:
        return self._file.size()

    async def close(self) -> None:
        if self._closed:
            return
        await super().close()
        error = StoreUnavailable("the store was closed")
        while self._queue:
            _fail(self._queue.popleft()[1], error)
        await asyncio.get_running_loop().run_in_executor(self._executor, self._file.close)
        self._executor.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, work)

    # Writing

    async def _write(self, write: Write) -> Entry:
        self._check_write(write)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Entry] = loop.create_future()
        self._queue.append((write, waiter))
        if not self._writing:
            self._writing = True
            loop.call_soon(self._send)  # not at once: who else writes in this turn of the loop comes along
        return await waiter

    def _send(self) -> None:
        """Decide the next batch and hand it to the thread; with nothing to do, rest."""
        events: list[Event] = []
        outcomes: list[tuple[asyncio.Future[Entry], Entry | StoreError]] = []
        ahead: dict[str, Entry | None] = {}
        revision, size = self.model.revision, 0
        while self._queue and len(events) < BATCH and size < BATCH_BYTES:
            write, waiter = self._queue.popleft()
            if waiter.done():
                continue
            key = write.key
            current = ahead[key] if key in ahead else self.model.entries.get(key)
            try:
                event = write.against(current, revision + 1)
            except StoreError as error:
                if key in ahead:  # what it tells of is not durable yet
                    outcomes.append((waiter, error))
                else:
                    _fail(waiter, error)
                continue
            revision += 1
            size += len(event.entry.value)
            ahead[key] = None if event.deleted else event.entry
            events.append(event)
            outcomes.append((waiter, event.entry))
        if not events:
            self._writing = False
            return
        done = asyncio.get_running_loop().run_in_executor(self._executor, self._file.append, events)
        done.add_done_callback(partial(self._sent, events, outcomes))

    def _sent(
        self,
        events: list[Event],
        outcomes: list[tuple[asyncio.Future[Entry], Entry | StoreError]],
        done: asyncio.Future[None],
    ) -> None:
        """The batch is on disk, or isn't: acknowledge it, and go on with what came meanwhile."""
        error = done.exception()
        if error is None:
            self._failing = False
            self._take_in(events)
            for waiter, outcome in outcomes:
                if isinstance(outcome, StoreError):
                    _fail(waiter, outcome)
                elif not waiter.done():
                    waiter.set_result(outcome)
            if self._file.wants_checkpoint() and not self._closed:
                self._spawn(self._checkpoint())
        else:
            if not self._failing:
                log.error("Writes fail: %s", error)
            self._failing = True
            for waiter, _ in outcomes:
                _fail(waiter, error)
        if not self._closed:
            self._send()

    # Upkeep

    async def _checkpoint(self) -> None:
        try:
            await self._in_thread(self._file.checkpoint)
        except StoreUnavailable as error:
            log.warning("%s", error)

    def _tick(self) -> None:
        super()._tick()
        self._start_discarding()

    def _compact_model(self, revision: int) -> None:
        self._garbage += self.model.compact(revision)
        self._start_discarding()

    def _start_discarding(self) -> None:
        if self._garbage and not self._discarding and not self._closed:
            self._discarding = True
            self._spawn(self._discard())

    async def _discard(self) -> None:
        """Delete what compaction has made useless, a little at a time; what fails is tried again at the next tick."""
        try:
            while self._garbage:
                chunk = self._garbage[:DISCARD]
                await self._in_thread(partial(self._file.discard, self.model.compacted, chunk))
                del self._garbage[: len(chunk)]
        except StoreUnavailable as error:
            log.warning("%s", error)
        finally:
            self._discarding = False

    async def _forget_lease(self, lease: int) -> None:
        await self._in_thread(partial(self._file.remove_lease, lease))
        await super()._forget_lease(lease)


def _fail(waiter: asyncio.Future[Entry], error: BaseException) -> None:
    if not waiter.done():
        waiter.set_exception(error)
