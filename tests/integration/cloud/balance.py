"""Run inside a network namespace: the local cloud's load balancers, told line by line what to do.

Argument: their directory. Each line is JSON: {"do": "ensure" | "delete", "service": ..., "nodes": [...]}; each gets one
line of JSON back, the status or {"error": ...}. Ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from ipaddress import ip_network
from pathlib import Path

import uvloop

from kybern.cloud.provider import CloudError
from kybern.cloud.providers.local.load_balancers import LoadBalancers


class NoServer:
    """A client whose API server is out of reach."""

    def resource(self, version, kind):
        raise ConnectionRefusedError


async def main() -> None:
    balancers = LoadBalancers(ip_network("10.89.1.0/24"), "kybern-lb", Path(sys.argv[1]))
    await balancers.start(NoServer())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        try:
            if asked["do"] == "ensure":
                said = await balancers.ensure("test", asked["service"], asked["nodes"])
            else:
                said = await balancers.delete("test", asked["service"])
        except CloudError as error:
            said = {"error": str(error)}
        sys.stdout.write(f"{json.dumps(said)}\n")
        sys.stdout.flush()
    await balancers.close()


uvloop.run(main())
