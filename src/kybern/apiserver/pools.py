"""Connections to the servers that requests are passed on to: kept for the next request, by server and by how to trust
it, and closed when nobody needed them for a while."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from kybern.apiserver.request import Response
from kybern.client.http import IDLE_SECONDS, Connection, Headers, Pieces, Pool
from kybern.process.dialing import Dial, straight

Address = tuple[str, int]
BODILESS = frozenset((204, 304))
"""Statuses of answers that have no body."""


class Where(NamedTuple):
    """What is asked: its URL, how to trust the server, where its host is if its name doesn't lead there, and headers of
    our own for it."""

    url: str
    tls: ssl.SSLContext | None
    address: Address | None = None
    headers: Sequence[tuple[str, str]] = ()


class Answer:
    """The beginning of an answer; the connection is given back once the body is read, or given up."""

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self._pool, self._connection = pool, connection
        self.status, self.headers, self.trailers = connection.status, connection.pairs, connection.trailers
        """`trailers` is what followed the body, once that is read."""

    def header(self, name: str) -> str:
        """A header's value, repeated ones joined; "" if absent."""
        return ", ".join(value for key, value in self.headers if key == name)

    def body(self) -> AsyncGenerator[bytes, None]:
        """The body, piece by piece as it comes. Raises ConnectionError if it is cut short."""
        if self._connection.done and not self._connection.unread:
            self._pool.give_back(self._connection)
            return _nothing()
        return self._pieces()

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            while piece := await self._connection.read():
                yield piece
        finally:
            self._pool.give_back(self._connection)

    async def whole(self, limit: int = 1 << 20) -> bytes:
        """The body up to `limit` bytes, or as much as came."""
        content = bytearray()
        try:
            while len(content) < limit and (piece := await self._connection.read()):
                content += piece
        except ConnectionError:
            pass
        finally:
            self._pool.give_back(self._connection)
        return bytes(content[:limit])


async def _nothing() -> AsyncGenerator[bytes, None]:
    pieces: tuple[bytes, ...] = ()
    for piece in pieces:
        yield piece


class Passed(Response):
    """Another server's answer: sent as it is."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Answer, headers: list[tuple[str, str]]) -> None:
        super().__init__(answer.status, answer.body(), "", headers)
        self._answer = answer

    @property
    def trailers(self) -> list[tuple[str, str]]:
        """What follows the body."""
        return self._answer.trailers


class Pools:
    """All of them. `through` is how connections are made."""

    def __init__(self, through: Dial = straight) -> None:
        self.through = through
        self._pools: dict[tuple[str, Address | None, ssl.SSLContext | None], Pool] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, method: str, to: Where, headers: Headers = (), body: bytes | Pieces | None = None) -> Answer:
        """The answer's beginning. Raises OSError, TimeoutError if there is no connection in time."""
        parts = urlsplit(to.url)
        server = f"{parts.scheme}://{parts.netloc}"
        key = (server, to.address, to.tls)
        pool = self._pools.get(key) or self._new(key, parts.hostname or "")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Answer(pool, await pool.ask(method, target, headers, body))

    def _new(self, key: tuple[str, Address | None, ssl.SSLContext | None], name: str) -> Pool:
        server, address, tls = key

        async def there() -> Address:
            assert address is not None
            return address

        pool = Pool(server, tls, dial=there if address else None, server_name=name, through=self.through)
        self._pools[key] = pool
        if self._timer is None:
            self._wait()
        return pool

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._pools = {key: pool for key, pool in self._pools.items() if pool.sweep()}
        if self._pools:
            self._wait()

    def close(self) -> None:
        """Close all connections."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
