"""The store in etcd, for several API servers: the Store protocol over its v3 API.

A revision is etcd's, a resource version the mod_revision, a value the JSON that the other stores keep. Reads are
linearizable. A write returns once this store's watches have heard of it, so that what is filled by watches knows it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

from kybern.store._generated import etcd_pb2 as etcd
from kybern.store.base import (
    Compacted,
    Entry,
    Event,
    FutureRevision,
    KeyExists,
    LeaseNotFound,
    Mismatch,
    Page,
    StoreError,
    StoreUnavailable,
    TooLarge,
    Watch,
)
from kybern.store.etcd_changes import Changes, latest_revision
from kybern.store.etcd_client import COMPACT, LEASE_GRANT, LEASE_LEFT, RANGE, STATUS, TXN, EtcdClient, EtcdFailure
from kybern.store.etcd_compaction import Compactor
from kybern.store.etcd_keys import ROOT, Keyspace

PAGE = 2000
"""Keys asked for at a time, where all are wanted."""
HEARD = 2.0
"""Seconds a write waits for the watches to hear of it."""
ADVANCING = 256
"""Writes under way at a time while `advance` counts up."""


class EtcdStore:
    """A Store in etcd. Make it with `open`."""

    def __init__(self, client: EtcdClient, prefix: str, compaction_interval: float) -> None:
        self.client = client
        self._keys = Keyspace(prefix)
        self._changes = Changes(client, self._keys, self.revision)
        self._compactor = Compactor(client, compaction_interval)
        self._reading = asyncio.Lock()
        self._next_reading: asyncio.Task[int] | None = None
        self._closed = False

    @classmethod
    async def open(cls, client: EtcdClient, *, prefix: str, compaction_interval: float) -> EtcdStore:
        """`prefix` is where in etcd /registry is. Compacts every `compaction_interval` seconds; 0 leaves that to
        others. The client is closed with the store. Raises StoreUnavailable."""
        store = cls(client, prefix, compaction_interval)
        try:
            await store._changes.start()
        except BaseException:
            await client.close()
            raise
        store._compactor.start()
        return store

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._compactor.stop()
        await self._changes.stop(StoreUnavailable("the store was closed"))
        await self.client.close()

    async def size(self) -> int:
        answer: etcd.StatusResponse = await self.client.call(STATUS, etcd.StatusRequest())
        return answer.dbSize

    def problem(self) -> str:
        return self._changes.problem

    # Reading

    async def revision(self) -> int:
        self._check_open()
        # Whoever asks before the next reading begins shares it: it is later than all that was acknowledged by now.
        if self._next_reading is None:
            self._next_reading = asyncio.ensure_future(self._read_revision())
            self._next_reading.add_done_callback(_look_at)
        return await asyncio.shield(self._next_reading)

    async def _read_revision(self) -> int:
        async with self._reading:
            self._next_reading = None
            return await latest_revision(self.client)

    async def get(self, key: str, *, revision: int = 0) -> Entry | None:
        answer = await self._range(etcd.RangeRequest(key=self._keys.raw(key), revision=revision))
        return self._keys.entry(answer.kvs[0]) if answer.kvs else None

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        raw = self._keys.raw(prefix)
        end = raw[:-1] + bytes([raw[-1] + 1])
        low = max(raw, self._keys.raw(start)) if start else raw
        if low >= end:
            return Page([], revision or await self.revision(), 0)
        entries: list[Entry] = []
        while True:
            wanted = min(limit - len(entries), PAGE) if limit else PAGE
            answer = await self._range(etcd.RangeRequest(key=low, range_end=end, limit=wanted, revision=revision))
            revision = revision or answer.header.revision
            entries += map(self._keys.entry, answer.kvs)
            if not answer.more or len(entries) == limit:
                return Page(entries, revision, answer.count - len(answer.kvs))
            low = answer.kvs[-1].key + b"\0"

    async def _range(self, request: etcd.RangeRequest) -> etcd.RangeResponse:
        self._check_open()
        try:
            answer: etcd.RangeResponse = await self.client.call(RANGE, request)
        except EtcdFailure as failure:
            if "has been compacted" in failure.details:
                raise Compacted(await self._changes.compacted()) from None
            raise await self._translated(failure) from None
        return answer

    # Writing

    async def create(self, key: str, value: bytes, *, lease: int = 0) -> Entry:
        raw = self._keys.raw(key)
        put = etcd.RequestOp(request_put=etcd.PutRequest(key=raw, value=value, lease=lease))
        absent = etcd.Compare(target=etcd.Compare.MOD, key=raw, mod_revision=0)
        answer = await self._txn(etcd.TxnRequest(compare=[absent], success=[put]), lease)
        if not answer.succeeded:
            raise KeyExists(f"key exists: {key}")
        return Entry(key, value, answer.header.revision, answer.header.revision, lease)

    async def update(self, key: str, value: bytes, *, expect: int, lease: int = 0) -> Entry:
        raw = self._keys.raw(key)
        put = etcd.RequestOp(request_put=etcd.PutRequest(key=raw, value=value, lease=lease))
        made = etcd.RequestOp(request_range=etcd.RangeRequest(key=raw, keys_only=True))  # tells when it was created
        answer = await self._if_at(raw, expect, [put, made], lease)
        pair = answer.responses[1].response_range.kvs[0]
        return Entry(key, value, pair.create_revision, answer.header.revision, lease)

    async def delete(self, key: str, *, expect: int = 0) -> Entry:
        raw = self._keys.raw(key)
        drop = etcd.RequestOp(request_delete_range=etcd.DeleteRangeRequest(key=raw, prev_kv=True))
        answer = await self._if_at(raw, expect, [drop])
        pair = answer.responses[0].response_delete_range.prev_kvs[0]
        return Entry(key, pair.value, pair.create_revision, answer.header.revision, pair.lease)

    async def _if_at(
        self, raw: bytes, expect: int, success: Sequence[etcd.RequestOp], lease: int = 0
    ) -> etcd.TxnResponse:
        """Carry out `success` if the key is at revision `expect` (0: at any). Raises Mismatch."""
        result = etcd.Compare.EQUAL if expect else etcd.Compare.GREATER
        here = etcd.Compare(result=result, target=etcd.Compare.MOD, key=raw, mod_revision=expect)
        look = etcd.RequestOp(request_range=etcd.RangeRequest(key=raw))
        answer = await self._txn(etcd.TxnRequest(compare=[here], success=success, failure=[look]), lease)
        if not answer.succeeded:
            found = answer.responses[0].response_range.kvs
            raise Mismatch(self._keys.entry(found[0]) if found else None)
        return answer

    async def _txn(self, request: etcd.TxnRequest, lease: int) -> etcd.TxnResponse:
        """Carry it out, and have the watches hear what it did, or what kept it from being done."""
        self._check_open()
        try:
            answer: etcd.TxnResponse = await self.client.call(TXN, request, repeatable=False)
        except EtcdFailure as failure:
            raise await self._translated(failure, lease) from None
        if not self._changes.problem:
            await self._changes.reach(answer.header.revision, HEARD)
        return answer

    async def watch(
        self,
        prefix: str,
        *,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> Watch:
        self._check_open()
        return await self._changes.watch(prefix, after, on_events, on_lost)

    # Upkeep

    async def compact(self, revision: int) -> None:
        self._check_open()
        try:
            await self.client.call(COMPACT, etcd.CompactionRequest(revision=revision))
        except EtcdFailure as failure:
            if "has been compacted" not in failure.details:
                raise await self._translated(failure) from None

    async def grant(self, ttl: float) -> int:
        self._check_open()
        answer = await self.client.call(LEASE_GRANT, etcd.LeaseGrantRequest(TTL=max(1, math.ceil(ttl))))
        return int(answer.ID)

    async def remaining(self, lease: int) -> float:
        self._check_open()
        answer = await self.client.call(LEASE_LEFT, etcd.LeaseTimeToLiveRequest(ID=lease))
        if answer.TTL < 0:
            raise LeaseNotFound(lease)
        return float(answer.TTL)

    async def advance(self, revision: int) -> None:
        # etcd has no other way to count up than to write.
        key = self._keys.raw(ROOT + "kybern-advance")
        put = etcd.TxnRequest(success=[etcd.RequestOp(request_put=etcd.PutRequest(key=key))])
        drop = etcd.RequestOp(request_delete_range=etcd.DeleteRangeRequest(key=key))
        while (now := await self.revision()) < revision:
            turns = min(ADVANCING, revision - now)
            await asyncio.gather(*(self.client.call(TXN, put) for _ in range(turns)))
        answer = await self._txn(etcd.TxnRequest(success=[drop]), 0)
        await self.compact(answer.header.revision)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    async def _translated(self, failure: EtcdFailure, lease: int = 0) -> StoreError:
        """What the contract calls it."""
        details = failure.details
        if "future revision" in details:
            return FutureRevision(await self.revision())
        if "requested lease not found" in details:
            return LeaseNotFound(lease)
        if "request is too large" in details or "larger than max" in details:
            return TooLarge()
        return failure


def _look_at(task: asyncio.Task[Any]) -> None:
    """Whoever waited for it may be gone: its failure is then nobody's."""
    if not task.cancelled():
        task.exception()
