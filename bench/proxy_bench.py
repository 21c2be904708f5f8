"""The proxy's rules for many Services: milliseconds to build and apply all of them, and to change one endpoint.

usage: proxy_bench.py [--services N] [--endpoints N] [--json FILE]; needs root and nft, works in a network namespace
of its own. CPU is that of this process and of nft and the kernel on its behalf.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kybern.proxy.nftables import NFTables
from kybern.proxy.rules import Options
from kybern.proxy.services import Services


def service(i: int) -> dict[str, Any]:
    ip = f"10.96.{i // 250}.{i % 250 + 1}"
    ports = [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}]
    spec = {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ports": ports}
    return {"metadata": {"namespace": "bench", "name": f"s{i}"}, "spec": spec}


def endpoint_slice(i: int, count: int, generation: int = 0) -> dict[str, Any]:
    hosts = [f"10.{244 + (k == 0) * generation}.{i // 80}.{i % 80 * 3 + k + 1}" for k in range(count)]
    labels = {"kubernetes.io/service-name": f"s{i}"}
    return {
        "metadata": {"namespace": "bench", "name": f"s{i}-x", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}, "nodeName": "n"} for host in hosts],
    }


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    name = f"kybern-bench-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


async def measure(services: int, endpoints: int, name: str) -> dict[str, float]:
    model, found = Services("n"), {}
    backend = NFTables(Options(("10.244.0.0/16",)), ("ip", "netns", "exec", name, "nft"))
    began = cpu()
    for i in range(services):
        model.set_service("bench", f"s{i}", service(i))
        model.set_slice(None, endpoint_slice(i, endpoints))
    changed = model.take()
    found["model_ms"] = (cpu() - began) * 1000
    began, at = cpu(), time.monotonic()
    await backend.sync(changed)
    found["first_apply_ms"], found["first_apply_cpu_ms"] = (time.monotonic() - at) * 1000, (cpu() - began) * 1000
    times, used = [], []
    for round_ in range(40):
        i, generation = round_ * 7 % services, round_ // services % 8
        began, at = cpu(), time.monotonic()
        model.set_slice(endpoint_slice(i, endpoints, generation), endpoint_slice(i, endpoints, generation + 1))
        await backend.sync(model.take())
        times.append((time.monotonic() - at) * 1000)
        used.append((cpu() - began) * 1000)
    found["change_ms"], found["change_cpu_ms"] = statistics.median(times), statistics.mean(used)
    at = time.monotonic()
    subprocess.run(["ip", "netns", "exec", name, "nft", "-f", "-"], input=b"add table ip other\n", check=True)
    found["nft_alone_ms"] = (time.monotonic() - at) * 1000
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    with namespace() as name:
        found = asyncio.run(measure(args.services, args.endpoints, name))
    print(f"{args.services} services of {args.endpoints} endpoints")
    for key, value in found.items():
        print(f"  {key:20} {value:8.1f}")
    if args.json:
        Path(args.json).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
