"""What happens in etcd, as it happens: one watch of all its keys, fanned out to the watches of the store.

Every revision of etcd changes some key, so whoever watches all keys knows how far he has come without asking: that
makes reads of what the watches have filled consistent, also with members that report progress too early (etcd before
3.4.25 and 3.5.8 does, issue 15220). It costs what happens under other prefixes too; a cluster has its etcd to itself.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from kybern.process.clock import monotonic
from kybern.store._generated import etcd_pb2 as etcd
from kybern.store.base import Compacted, Event, StoreError, StoreUnavailable
from kybern.store.etcd_client import RANGE, EtcdClient, EtcdFailure
from kybern.store.etcd_keys import Keyspace
from kybern.store.watches import Listener, Watches

log = logging.getLogger(__name__)

RETRY = 0.2
"""Seconds before a watch that ended is begun anew."""
CATCH_UP = 5.0
"""Seconds that a watch gets to hear everything that has happened."""
RENEWAL = 2.0
"""Seconds that a watch gets to be heard of, before it is begun anew because it lags."""


async def latest_revision(client: EtcdClient) -> int:
    """Linearizable."""
    answer = await client.call(RANGE, etcd.RangeRequest(key=b"\0", count_only=True))
    return int(answer.header.revision)


async def all_changes(client: EtcdClient, after: int) -> AsyncGenerator[etcd.WatchResponse, None]:
    """What one watch of everything is told after a revision. Raises Compacted, EtcdFailure."""
    request = etcd.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=after + 1, prev_kv=True)
    async with aclosing(client.watch(request)) as responses:
        async for response in responses:
            if response.canceled:
                if response.compact_revision:
                    raise Compacted(response.compact_revision - 1)
                raise EtcdFailure(client.endpoint, "CANCELLED", response.cancel_reason or "the watch was refused")
            yield response


def reached(response: etcd.WatchResponse, before: int) -> int:
    """The revision up to which a watch of everything has heard all, given where it was. Raises Compacted where one is
    missing between: etcd drops what a compaction has just reached, before it has told everybody."""
    for change in response.events:
        revision = change.kv.mod_revision
        if revision > before + 1:
            raise Compacted(revision - 1)
        before = max(before, revision)
    return before


class EtcdWatch(Listener):
    """A watch of the store. While it is behind the others (`position`), a task of its own brings it up to them."""

    def __init__(
        self,
        changes: Changes,
        prefix: str,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> None:
        super().__init__(prefix, after, on_events, on_lost)
        self._changes = changes
        self.position: int | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def revision(self) -> int:
        return max(self.after, self._changes.seen) if self.position is None else self.position

    async def progress(self) -> None:
        await self._changes.catch_up()
        if self.position is not None and self.task:
            # The others have heard it all, but this one is still being told of the past.
            await asyncio.wait({self.task}, timeout=CATCH_UP)
            if self.position is not None and not self.cancelled:
                raise StoreUnavailable("etcd: the past of a watch takes too long to come")

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self._changes.forget(self)


class Changes:
    """All changes after the revision at which it was started, in order; `seen` is the latest of them."""

    def __init__(self, client: EtcdClient, keys: Keyspace, revision: Callable[[], Coroutine[Any, Any, int]]) -> None:
        """`revision` gives the latest revision, linearizable."""
        self._client, self._keys, self._revision = client, keys, revision
        self.seen = 0
        self.problem = ""
        """Why nothing is heard at the moment; "" if it is."""
        self._watches = Watches()
        self._behind: set[EtcdWatch] = set()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        """A heap: the revision waited for, a number that keeps futures from being compared, the future."""
        self._count = 0
        self._begun = 0.0
        """When the watch under way began."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin at the latest revision. Raises EtcdFailure."""
        self.seen = await latest_revision(self._client)
        self._task = asyncio.ensure_future(self._run())

    async def stop(self, error: StoreError) -> None:
        """End every watch with `error`."""
        tasks = [watch.task for watch in self._behind if watch.task] + ([self._task] if self._task else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lose(error)
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()

    async def watch(
        self,
        prefix: str,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> EtcdWatch:
        """See Store.watch."""
        watch = EtcdWatch(self, prefix, max(after, 1), on_events, on_lost)  # revision 1 is that of an empty etcd
        if watch.after < self.seen:
            await self._check_beginning(watch.after)
        if watch.after >= self.seen:
            self._watches.add(watch)
        else:
            watch.position = watch.after
            self._behind.add(watch)
            watch.task = asyncio.ensure_future(self._bring_up(watch))
        return watch

    def forget(self, watch: EtcdWatch) -> None:
        """It was cancelled."""
        self._watches.remove(watch)
        self._behind.discard(watch)
        if watch.task:
            watch.task.cancel()

    async def reach(self, revision: int, timeout: float) -> bool:
        """Whether everything up to `revision` is heard within `timeout` seconds."""
        if self.seen >= revision:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (revision, self._count, future))
        await asyncio.wait({future}, timeout=timeout)
        if future.done():
            future.result()
            return True
        future.cancel()
        self._renew()
        return False

    async def catch_up(self, timeout: float = CATCH_UP) -> None:
        """Hear everything that has happened. Raises StoreUnavailable where that takes longer."""
        if not await self.reach(await self._revision(), timeout):
            raise StoreUnavailable(self.problem or f"etcd at {self._client.endpoint}: its watch doesn't keep up")

    def _renew(self) -> None:
        """Watch anew, of the endpoint in use now: the one that is watched may hang."""
        if self._task and monotonic() - self._begun > RENEWAL:
            self._task.cancel()
            self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except StoreUnavailable as error:
                self._note(str(error))
            await asyncio.sleep(RETRY)

    async def _follow(self) -> None:
        """Hear one watch to its end, which is an EtcdFailure, or to where changes are missing."""
        self._begun = monotonic()
        try:
            latest = await self._check_kept(self.seen)
            if latest < self.seen:
                went_back = f"etcd went back from revision {self.seen} to {latest}: it was restored"
                self._start_over(StoreUnavailable(went_back), latest)
            async with aclosing(all_changes(self._client, self.seen)) as responses:
                async for response in responses:
                    self._note("")
                    self._take(response)
        except Compacted as error:
            self._start_over(error, await latest_revision(self._client))

    def _take(self, response: etcd.WatchResponse) -> None:
        now, events = reached(response, self.seen), self._keys.events(response)
        if events:
            self._watches.notify(events)
        self.seen = now
        while self._waiting and self._waiting[0][0] <= self.seen:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)

    def _note(self, problem: str) -> None:
        """Log the first failure and the end of them, not every attempt."""
        if problem and not self.problem:
            log.warning("%s; trying again", problem)
        elif self.problem and not problem:
            log.info("following etcd at %s again", self._client.endpoint)
        self.problem = problem

    def _start_over(self, error: StoreError, latest: int) -> None:
        """Whoever watches must read anew, for changes were missed."""
        log.warning("changes were missed: %s", error)
        self.seen = latest
        self._lose(error)

    def _lose(self, error: StoreError) -> None:
        self._watches.lose(error)
        for watch in list(self._behind):
            self._lose_one(watch, error)

    def _lose_one(self, watch: EtcdWatch, error: StoreError) -> None:
        if not watch.cancelled:
            watch.cancel()
            watch.end(error)

    # Watches that begin in the past

    async def _check_kept(self, revision: int) -> int:
        """The latest revision. Raises Compacted if not all changes after `revision` are known for certain."""
        try:
            answer = await self._client.call(RANGE, etcd.RangeRequest(key=b"\0", count_only=True, revision=revision))
        except EtcdFailure as failure:
            if "has been compacted" in failure.details:
                raise Compacted(await self.compacted()) from None
            if "future revision" in failure.details:
                return await latest_revision(self._client)
            raise
        return int(answer.header.revision)

    async def _check_beginning(self, after: int) -> None:
        """Raises Compacted if a watch can't begin after a revision. One that begins with the very revision that was
        compacted to can if that created a key: for of what it changed or deleted the value before is gone."""
        try:
            await self._check_kept(after)
        except Compacted as error:
            if error.compacted != after:
                raise
            first = after + 1
            request = etcd.RangeRequest(
                key=b"\0", range_end=b"\0", revision=first, min_mod_revision=first, max_mod_revision=first,
                keys_only=True, limit=1,
            )  # fmt: skip
            found = (await self._client.call(RANGE, request)).kvs
            if not found or found[0].create_revision <= after:
                raise Compacted(after + 1) from None

    async def compacted(self) -> int:
        """The revision up to which history is forgotten, given that there is one: only a watch is told it."""
        while True:
            try:
                async with aclosing(all_changes(self._client, 0)) as responses:
                    async for _ in responses:
                        pass
            except Compacted as error:
                return error.compacted
            except EtcdFailure as failure:
                if not failure.passing:
                    raise
            await asyncio.sleep(RETRY)

    async def _bring_up(self, watch: EtcdWatch) -> None:
        while True:
            try:
                await self._follow_behind(watch)
            except Compacted as error:
                self._lose_one(watch, error)
                return
            except EtcdFailure as failure:
                log.debug("%s", failure)
                await asyncio.sleep(RETRY)
            else:
                return

    async def _follow_behind(self, watch: EtcdWatch) -> None:
        """Hand over the past until there is none left, then join the others. Raises Compacted, EtcdFailure."""
        assert watch.position is not None
        async with aclosing(all_changes(self._client, watch.position)) as responses:
            async for response in responses:
                now = reached(response, watch.position)
                events = [event for event in self._keys.events(response) if event.entry.key.startswith(watch.prefix)]
                if events:
                    watch.hand_over(events)
                watch.position = now
                if watch.cancelled:
                    return
                if watch.position >= self.seen:
                    watch.after, watch.position = watch.position, None
                    self._behind.discard(watch)
                    self._watches.add(watch)
                    return
