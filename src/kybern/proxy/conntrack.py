"""Flows of UDP that lead nowhere any more: connection tracking would keep sending them where they went.

TCP needs none of this: its connections end and are set up anew. Source: KEP-3866's and the iptables mode's clean-up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from kybern.proxy.base import Routed, choose

log = logging.getLogger(__name__)


def stale(before: Iterable[Routed], now: Iterable[Routed]) -> list[tuple[str, ...]]:
    """Arguments of `conntrack -D` for each kind of flow that should be forgotten when a Service changes. Pure.

    Those to an endpoint that is gone; and, where the first endpoint came, those that got no translation at all."""
    kept = {(r.port.cluster_ip, r.port.protocol, r.port.port): r for r in now}
    found: dict[tuple[str, ...], None] = {}
    known = {(r.port.cluster_ip, r.port.protocol, r.port.port): r for r in before}
    for key in sorted(known.keys() | kept.keys()):
        if key[1] != "udp":
            continue
        old, new = known.get(key), kept.get(key)
        had = {e.address for e in choose(old).reachable} if old else set()
        has = {e.address for e in choose(new).reachable} if new else set()
        some = old or new
        assert some
        for flow in _flows(some):
            for address in sorted(had - has):
                found[*flow, "--dst-nat", address] = None
            if has and not had and old:
                found[flow] = None
    return list(found)


def _flows(routed: Routed) -> list[tuple[str, ...]]:
    port = routed.port
    addresses = (port.cluster_ip, *port.external_ips, *port.load_balancer_ips)
    flows: list[tuple[str, ...]] = [
        ("-p", "udp", "--orig-dst", a, "--orig-port-dst", str(port.port)) for a in addresses
    ]
    if port.node_port:
        flows.append(("-p", "udp", "--orig-port-dst", str(port.node_port)))
    return flows


class Conntrack:
    """The program conntrack, if there is one. `program` is how it is started."""

    def __init__(self, program: tuple[str, ...] = ("conntrack",)) -> None:
        self._program = program
        self._missing = False

    async def forget(self, flows: Iterable[tuple[str, ...]]) -> None:
        """Delete them; finding none is fine."""
        for flow in flows:
            if self._missing:
                return
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._program, "-D", *flow, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
                )
            except FileNotFoundError:
                self._missing = True
                log.warning("conntrack is not installed: clients of UDP Services may keep sending to endpoints gone")
                return
            _, said = await process.communicate()
            if process.returncode and b"0 flow entries" not in said:
                log.warning("conntrack -D %s: %s", " ".join(flow), said.decode(errors="replace").strip())
