"""Copying everything from one store to another, while no API server uses either.

Clients go on as if nothing had happened: every object gets a resource version later than all that the old store gave
out, and whoever resumes a watch from there is told, as after any compaction, to list anew.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from kybern.process.daemon import OperatorError
from kybern.store.base import Entry, Event, LeaseNotFound, Store, StoreError, TooLarge
from kybern.store.encryption import TIED

ROOT = "/registry/"
PAGE = 500
"""Keys read at a time, and written at the same time."""
REPORT_SECONDS = 2.0
_PARTIAL = "the target is not complete, so empty it before you start again"


async def migrate(source: Store, target: Store, tell: Callable[[str], None], *, renamed: bool = False) -> int:
    """Copy all of `source` to `target`, which must be empty; gives the number of keys. `tell` hears of the progress.
    `renamed`: whole keys are others in the target. Raises OperatorError where the target isn't empty, the source
    changes meanwhile or holds what couldn't be read in the target, and StoreError."""
    held = await target.list(ROOT, limit=1)
    if held.entries:
        count = 1 + held.remaining
        raise OperatorError(f"the target already holds {count} keys, {held.entries[0].key} first; name an empty one")
    if renamed:
        await _check_renamed(source)
    page = await source.list(ROOT, limit=PAGE)
    total, revision = len(page.entries) + page.remaining, page.revision
    changed: list[Event] = []
    watch = await source.watch(ROOT, after=revision, on_events=changed.extend, on_lost=lambda error: None)
    try:
        await _advance(target, revision, tell)
        leases, done = Leases(source, target), 0
        while page.entries:
            await asyncio.gather(*(_copy(target, entry, leases) for entry in page.entries))
            done += len(page.entries)
            tell(f"{done} of {total} keys copied")
            start = page.entries[-1].key + "\0"
            page = await source.list(ROOT, start=start, limit=PAGE, revision=revision)
        await target.compact(await target.revision())
        await watch.progress()
    except StoreError as error:
        raise OperatorError(f"{error}; {_PARTIAL}") from error
    watch.cancel()
    if changed:
        key = changed[0].entry.key
        raise OperatorError(f"{key} changed in the source meanwhile: stop what writes to it; {_PARTIAL}")
    return done


async def _check_renamed(source: Store) -> None:
    """Raises OperatorError for a value that is tied to its whole key by encryption."""
    start = ""
    while entries := (await source.list(ROOT, start=start, limit=PAGE)).entries:
        for entry in entries:
            if entry.value.startswith(TIED):
                told = f"{entry.key} is encrypted for its whole key, which would be another with this --etcd-prefix"
                raise OperatorError(f"{told}; leave the prefix at /registry, or have it stored unencrypted first")
        start = entries[-1].key + "\0"


async def _advance(target: Store, revision: int, tell: Callable[[str], None]) -> None:
    """Bring the target to `revision`; etcd has to count there."""
    work = asyncio.ensure_future(target.advance(revision))
    while not work.done():
        await asyncio.wait({work}, timeout=REPORT_SECONDS)
        if not work.done():
            tell(f"revision {await target.revision()} of {revision} reached")
    await work


class Leases:
    """For each lease of the source one of the target with as much time left."""

    def __init__(self, source: Store, target: Store) -> None:
        self._source, self._target = source, target
        self._granted: dict[int, asyncio.Task[int]] = {}

    async def of(self, lease: int) -> int:
        """The target's; 0 for none."""
        if not lease:
            return 0
        if lease not in self._granted:
            self._granted[lease] = asyncio.ensure_future(self._grant(lease))
        return await self._granted[lease]

    async def _grant(self, lease: int) -> int:
        try:
            left = await self._source.remaining(lease)
        except LeaseNotFound:  # it ends at this moment
            left = 0.0
        return await self._target.grant(max(1, math.ceil(left)))


async def _copy(target: Store, entry: Entry, leases: Leases) -> None:
    try:
        await target.create(entry.key, entry.value, lease=await leases.of(entry.lease))
    except LeaseNotFound:
        return  # expired on the way, and the key would have gone with it
    except TooLarge as error:
        size = f"{entry.key} has {len(entry.value)} bytes"
        raise StoreError(f"{size}, more than the target takes; raise etcd's --max-request-bytes") from error
