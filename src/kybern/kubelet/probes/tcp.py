"""tcpSocket: succeeds if a connection can be opened."""

from __future__ import annotations

import asyncio

from kybern.api.types import Object
from kybern.kubelet.probes.base import Target


class TCPProbe:
    field = "tcpSocket"

    async def probe(self, target: Target, action: Object, timeout: float) -> tuple[bool, str]:
        host, port = action.get("host") or target.ip, target.port(action["port"])
        try:
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return False, f"dial tcp {host}:{port}: i/o timeout"
        except OSError as error:
            return False, f"dial tcp {host}:{port}: connect: {(error.strerror or str(error)).lower()}"
        writer.close()
        return True, ""


PROBE = TCPProbe()
