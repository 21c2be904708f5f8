"""How a connection to a server is made: straight to it, or by a way that an operator says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol, TypeVar

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Dial(Protocol):
    """Connects to `host` and `port`; with `tls` to who must be called `name`, or like the host. Raises OSError."""

    async def __call__(
        self, protocol: Callable[[], P], host: str, port: int, tls: ssl.SSLContext | None, name: str | None = None
    ) -> tuple[asyncio.Transport, P]: ...


async def straight(
    protocol: Callable[[], P], host: str, port: int, tls: ssl.SSLContext | None, name: str | None = None
) -> tuple[asyncio.Transport, P]:
    """Without any detour."""
    loop = asyncio.get_running_loop()
    server_hostname = name if tls is not None else None
    return await loop.create_connection(protocol, host, port, ssl=tls, server_hostname=server_hostname)
