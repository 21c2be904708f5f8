"""The scheduler: a real one beside a real API server, then its cycle alone; every node scored for every pod.

usage: python -m bench.scheduler_bench [--nodes 1000 5000] [--pods 3000] [--kinds 1 200] [--cycle]
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import yaml

from bench.measure import TOKEN, Server, api_server, cpu, rss
from kybern.api.types import Object
from kybern.client.kubeconfig import connect, load
from kybern.client.rest import Client
from kybern.scheduler.cache import Cache
from kybern.scheduler.cycle import Scheduler, queue_for
from kybern.scheduler.framework import Handle
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.profiles import Configuration, build
from kybern.scheduler.report import Reporter

CLIENTS = 32
PATIENCE = 300


def node(index: int) -> Object:
    allocatable = {"cpu": "32", "memory": "128Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    labels = {"kubernetes.io/hostname": f"node-{index}", "topology.kubernetes.io/zone": f"zone-{index % 10}"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok"}
    status = {"capacity": allocatable, "allocatable": allocatable, "conditions": [ready]}
    return {"metadata": {"name": f"node-{index}", "labels": labels}, "status": status}


def pod(index: int, kinds: int) -> Object:
    """One of `kinds` kinds of pods, taking turns; they differ in what they request."""
    requests = {"cpu": f"{100 + index % kinds}m", "memory": "128Mi"}
    container = {"name": "app", "image": "registry.example/app:v1", "resources": {"requests": requests}}
    spec = {
        "schedulerName": "default-scheduler",
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    return {"metadata": {"name": f"pod-{index}", "namespace": "bench", "uid": str(index)}, "spec": spec}


async def cycle(nodes: int, pods: int, kinds: int) -> str:
    """Queueing, choosing and assuming; binding left out."""
    profiles = build(Configuration(), Handle())
    cache = Cache()
    for index in range(nodes):
        cache.set_node(node(index))
    queue = queue_for(profiles)
    scheduler = Scheduler(profiles, cache, queue, Reporter())
    objects = [pod(index, kinds) for index in range(pods)]
    wall, used = time.monotonic(), time.process_time()
    for obj in objects:
        queue.add(PodInfo(obj))
    for _ in range(pods):
        queued = await queue.pop()
        choice = scheduler.choose(profiles["default-scheduler"], queued.pod)
        cache.assume(queued.pod, choice.node)
        queue.remove(queued.pod.key)
    rate, each = pods / (time.monotonic() - wall), 1000 * (time.process_time() - used) / pods
    return f"{rate:.0f} pods/s, {each:.3f} ms CPU per pod"


async def side_by_side(work: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Run all of it, CLIENTS at a time."""
    waiting = iter(work)

    async def one_by_one() -> None:
        for job in waiting:
            await job()

    await asyncio.gather(*(one_by_one() for _ in range(CLIENTS)))


async def make_nodes(client: Client, count: int) -> None:
    """Nodes without the not-ready taint that admission gives and a controller would take off."""
    resource = client.resource("v1", "nodes", namespaced=False)

    async def make(index: int) -> None:
        await resource.create(node(index))
        await resource.patch(f"node-{index}", {"spec": {"taints": None}})

    await side_by_side((lambda index=index: make(index)) for index in range(count))  # type: ignore[misc]


async def until_bound(client: Client, start: str, count: int) -> None:
    bound: set[str] = set()
    async for event in client.resource("v1", "pods").watch("bench", resource_version=start):
        if event.object.get("spec", {}).get("nodeName"):
            bound.add(event.object["metadata"]["name"])
        if len(bound) == count:
            return


async def until_quiet(pid: int) -> None:
    used = -1.0
    while cpu(pid) - used > 0.01:
        used = cpu(pid)
        await asyncio.sleep(0.5)


async def place(client: Client, first: int, count: int, kinds: int) -> None:
    """Create pods and wait until the last is bound."""
    resource = client.resource("v1", "pods")
    start = (await resource.list("bench")).resource_version
    async with asyncio.timeout(PATIENCE):
        waiting = asyncio.create_task(until_bound(client, start, count))
        numbers = range(first, first + count)
        await side_by_side((lambda index=index: resource.create(pod(index, kinds))) for index in numbers)  # type: ignore[misc]
        await waiting


def kubeconfig(server: Server) -> Object:
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": server.url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "bench", "user": {"token": TOKEN}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }  # fmt: skip


async def end_to_end(server: Server, directory: Path, nodes: int, pods: int, kinds: int) -> str:
    """Processes as users run them, over TLS, while the pods are being created."""
    config = directory / "kubeconfig"
    config.write_text(yaml.safe_dump(kubeconfig(server)))
    client = connect(load(str(config)))
    await client.resource("v1", "namespaces", namespaced=False).create({"metadata": {"name": "bench"}})
    account: Object = {"metadata": {"name": "default", "namespace": "bench"}}
    await client.resource("v1", "serviceaccounts").create(account)
    await make_nodes(client, nodes)
    command = [sys.executable, "-m", "kybern", "scheduler", f"--kubeconfig={config}", "--secure-port=0"]
    with (directory / "scheduler.log").open("w") as log:
        scheduler = subprocess.Popen([*command, "--leader-elect=false"], stdout=log, stderr=log)
    try:
        await place(client, 0, 100, kinds)
        before, wall = (cpu(scheduler.pid), cpu(server.pid)), time.monotonic()
        await place(client, 100, pods, kinds)
        rate = pods / (time.monotonic() - wall)
        await until_quiet(scheduler.pid)  # events are written behind the pods' back, and count
        after = (cpu(scheduler.pid), cpu(server.pid))
        own, servers = ((now - was) / pods * 1000 for now, was in zip(after, before, strict=True))
        resident = rss(scheduler.pid)
    finally:
        scheduler.terminate()
        scheduler.wait(20)
        await client.close()
    return f"{rate:.0f} pods/s, {own:.2f} ms CPU per pod (API server: {servers:.2f}), {resident:.0f} MiB resident"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--pods", type=int, default=3000)
    parser.add_argument("--kinds", type=int, nargs="+", default=[1, 200], help="how many kinds of pods, taking turns")
    parser.add_argument("--cycle", action="store_true", help="the cycle alone")
    args = parser.parse_args()
    for nodes in args.nodes:
        for kinds in args.kinds:
            what = f"{nodes} nodes, {args.pods} pods of {kinds} kinds"
            if not args.cycle:
                with api_server() as server, tempfile.TemporaryDirectory(prefix="kybern-bench-") as scratch:
                    told = asyncio.run(end_to_end(server, Path(scratch), nodes, args.pods, kinds))
                print(f"end to end, {what}: {told}", flush=True)
            print(f"cycle alone, {what}: {asyncio.run(cycle(nodes, args.pods, kinds))}", flush=True)


if __name__ == "__main__":
    main()
