"""The API server from outside: requests, lists, watches, memory, start-up.

usage: api_bench.py [--pods 5000] [--json FILE]; needs Debian's hey
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path

import aiohttp

from bench.measure import Server, api_server, cpu, hey, pod, rss, tls

PODS = "/api/v1/namespaces/bench/pods"
WATCHERS, UPDATES = 200, 100
Figures = dict[str, float]


def requests(server: Server, pods: int) -> Figures:
    """GET, create and merge-patch: CPU µs per request."""
    figures = {}
    figures["get_us"] = hey(server, f"{PODS}/one", 10_000, 32).cpu_us
    create = hey(server, PODS, pods, 32, "POST", pod())
    figures["create_us"], figures["create_per_s"] = create.cpu_us, create.rate
    patch = {"metadata": {"annotations": {"k": "v"}}}
    figures["patch_us"] = hey(server, f"{PODS}/one", 1000, 1, "PATCH", patch, "application/merge-patch+json").cpu_us
    return figures


async def lists(server: Server, session: aiohttp.ClientSession) -> Figures:
    """LIST of everything and of nothing by label: wall ms."""
    figures = {}
    for name, query in (("list_ms", ""), ("list_none_ms", "?labelSelector=app%3Dnope")):
        took = []
        for _ in range(10):
            began = time.perf_counter()
            async with session.get(server.url + PODS + query) as answer:
                await answer.read()
            took.append((time.perf_counter() - began) * 1000)
        figures[name] = statistics.median(took)
    return figures


async def watch(server: Server, session: aiohttp.ClientSession) -> Figures:
    """CPU µs per event and watcher: WATCHERS streams, UPDATES patches of one pod."""
    async with session.get(f"{server.url}{PODS}?limit=1") as answer:
        start = (await answer.json())["metadata"]["resourceVersion"]
    connected = asyncio.Semaphore(0)

    async def watcher() -> None:
        url = f"{server.url}{PODS}?watch=1&resourceVersion={start}&timeoutSeconds=300"
        async with session.get(url) as answer:
            connected.release()
            seen = 0
            async for _ in answer.content:
                seen += 1
                if seen == UPDATES:
                    return

    tasks = [asyncio.ensure_future(watcher()) for _ in range(WATCHERS)]
    for _ in range(WATCHERS):
        await connected.acquire()
    before = cpu(server.pid)
    for number in range(UPDATES):
        body = json.dumps({"metadata": {"annotations": {"i": str(number)}}})
        kind = {"Content-Type": "application/merge-patch+json"}
        async with session.patch(f"{server.url}{PODS}/one", data=body, headers=kind) as answer:
            answer.raise_for_status()
    await asyncio.gather(*tasks)
    return {"watch_us": (cpu(server.pid) - before) / (WATCHERS * UPDATES) * 1e6}


async def measure(server: Server, pods: int) -> Figures:
    figures: Figures = {"ready_s": server.ready_seconds}
    connector = aiohttp.TCPConnector(ssl=tls(), limit=0)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(
        connector=connector, headers=server.headers, read_bufsize=2**20, timeout=timeout
    ) as session:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        accounts = PODS.replace("/pods", "/serviceaccounts")
        for path, body in (("/api/v1/namespaces", namespace), (accounts, account), (PODS, pod("one"))):
            async with session.post(server.url + path, json=body) as answer:
                answer.raise_for_status()
        figures["idle_mib"] = rss(server.pid)
        figures |= await asyncio.to_thread(requests, server, pods)
        figures |= await lists(server, session)
        figures["loaded_mib"] = rss(server.pid)
        figures |= await watch(server, session)
        began = time.perf_counter()
        async with session.delete(server.url + PODS) as answer:
            answer.raise_for_status()
            await answer.read()
        figures["deletecollection_s"] = time.perf_counter() - began
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with api_server() as server:
        figures = asyncio.run(measure(server, args.pods))
    for name, value in figures.items():
        print(f"{name:<20} {value:10.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
