"""HAProxy as a child of this process: started when the first balancer needs it, reloaded when its configuration
changes, started anew when it dies, ended with this process.

A reload starts a new worker that takes over the listening sockets; the old one serves its connections to their end.
Source: HAProxy's management manual, "Master-worker mode".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from kybern.cloud.provider import CloudError
from kybern.cloud.providers.local import host

log = logging.getLogger(__name__)

_LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp."""
_PATIENCE, _STEP = 5.0, 0.01
_END_PATIENCE = 5.0
_RESTART_SECONDS = 1.0

Bind = tuple[str, int]
"""Address and port."""


class Haproxy:
    """`directory` exists by the time of the first `apply`."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "haproxy.cfg"
        self._text = ""
        self._child: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def apply(self, text: str, binds: Iterable[Bind]) -> None:
        """Have HAProxy run with that configuration and listen on all `binds`; none for an empty one. Raises
        CloudError."""
        if not text:
            await self.close()
            return
        if text == self._text:
            return
        await self._write(text)
        before, self._text = self._text, text
        if self._child:
            self._child.send_signal(signal.SIGUSR2)
        elif self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        try:
            await _listening(set(binds))
        except CloudError:
            await self.apply(before, ())
            raise

    async def close(self) -> None:
        """End it, with all of its connections."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        if self._child:
            with contextlib.suppress(ProcessLookupError):
                self._child.terminate()
            try:
                async with asyncio.timeout(_END_PATIENCE):
                    await self._child.wait()
            except TimeoutError:
                self._child.kill()
                await self._child.wait()
        self._child, self._text = None, ""

    async def _write(self, text: str) -> None:
        """Replace the configuration by one that HAProxy finds right. Raises CloudError."""
        scratch = self._path.with_suffix(".new")
        scratch.write_text(text)
        await host.run(_program(), "-c", "-q", "-f", str(scratch))
        os.replace(scratch, self._path)

    async def _keep(self) -> None:
        """Start it, and again whenever it ends."""
        # The kernel ends it with us, however we end.
        command = ("setpriv", "--pdeathsig", "TERM", _program(), "-W", "-db", "-q", "-f", str(self._path))
        null = asyncio.subprocess.DEVNULL
        while True:
            try:
                self._child = await asyncio.create_subprocess_exec(*command, stdin=null, stdout=sys.stderr)
                log.warning("haproxy ended with %s; starting it again", await self._child.wait())
            except OSError as error:
                log.warning("haproxy can't be started: %s", error)
            self._child = None
            await asyncio.sleep(_RESTART_SECONDS)


def _program() -> str:
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if not found:
        raise CloudError("haproxy is not installed; run `apt-get install haproxy`")
    return found


async def _listening(binds: set[Bind]) -> None:
    """Until there are listeners on all of them, without connecting to any. Raises CloudError."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            while not binds <= _listeners():
                await asyncio.sleep(_STEP)
    if missing := binds - _listeners():
        address, port = min(missing)
        raise CloudError(f"haproxy does not listen on {address}:{port}; the log says why")


def _listeners() -> set[Bind]:
    """Where this machine listens for TCP over IPv4."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == _LISTEN:
            address, port = local.split(":")
            # The kernel prints the address as a number in its own byte order.
            found.add((socket.inet_ntoa(int(address, 16).to_bytes(4, sys.byteorder)), int(port, 16)))
    return found
