"""Forgetting etcd's history now and then, by one of the API servers at a time.

They agree through a key's version, as upstream's servers do: whoever finds the version he last saw sets it one further
and compacts to the revision noted then; the others take over its version and wait for the next turn.

Source: the compaction of upstream's API server; its key is the same, so both may share an etcd.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from kybern.store._generated import etcd_pb2 as etcd
from kybern.store.base import StoreUnavailable
from kybern.store.etcd_changes import latest_revision
from kybern.store.etcd_client import COMPACT, TXN, EtcdClient, EtcdFailure

log = logging.getLogger(__name__)

KEY = b"compact_rev_key"


class Compactor:
    """Takes a turn every `interval` seconds (0: never); what was written before the turn before goes."""

    def __init__(self, client: EtcdClient, interval: float) -> None:
        self._client, self._interval = client, interval
        self.version = 0
        """Of the key, as last seen."""
        self.noted = 0
        """The latest revision at the last turn, 0 before the first."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, after the first interval."""
        if self._interval > 0:
            self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Take no more turns."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.turn()
            except StoreUnavailable as error:
                log.warning("not compacted: %s", error)

    async def turn(self) -> bool:
        """Whether the turn was ours. Raises EtcdFailure."""
        seen = etcd.Compare(target=etcd.Compare.VERSION, key=KEY, version=self.version)
        put = etcd.RequestOp(request_put=etcd.PutRequest(key=KEY, value=str(self.noted).encode()))
        look = etcd.RequestOp(request_range=etcd.RangeRequest(key=KEY))
        try:
            answer = await self._client.call(TXN, etcd.TxnRequest(compare=[seen], success=[put], failure=[look]))
        except EtcdFailure as failure:
            if "database space exceeded" not in failure.details:
                raise
            return await self._turn_when_full()
        noted, self.noted = self.noted, answer.header.revision
        if not answer.succeeded:
            self.version = answer.responses[0].response_range.kvs[0].version
            return False
        self.version += 1
        await self._compact(noted)
        return True

    async def _turn_when_full(self) -> bool:
        """Nobody can write the key, but history can go, without which there is never space again: everybody's turn."""
        noted, self.noted = self.noted, await latest_revision(self._client)
        await self._compact(noted)
        return True

    async def _compact(self, revision: int) -> None:
        if not revision:
            return
        try:
            await self._client.call(COMPACT, etcd.CompactionRequest(revision=revision))
        except EtcdFailure as failure:
            if "has been compacted" not in failure.details:
                raise
        log.debug("compacted to revision %d", revision)
