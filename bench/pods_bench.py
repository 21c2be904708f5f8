"""Real pods on a cluster made for it: `up` until Ready, one pod, 30 and 80 at once; CPU per pod, idle CPU, memory.

usage: pods_bench.py [--pods 30,80] [--json FILE]; root, and no other cluster of `kybern up` running
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.measure import cpu, rss
from kybern.client.kubeconfig import connect, load
from kybern.client.rest import Client

ROOT = Path(__file__).resolve().parents[1]
DATA_DIR = Path("/var/lib/kybern-bench")
NAMESPACE = "pods-bench"
IDLE_SECONDS = 20
SINGLE = 7
PROCESSES = (
    "apiserver", "kubelet", "controller-manager", "cloud-controller-manager", "scheduler", "proxy", "dns", "containerd",
    "supervisor",
)  # fmt: skip


def kybern(command: str, *flags: str) -> str:
    words = [sys.executable, "-m", "kybern", command, f"--data-dir={DATA_DIR}", *flags]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


@contextlib.contextmanager
def cluster() -> Iterator[float]:
    """A cluster of one node; gives the seconds until that was Ready. Images are built before."""
    kybern("down")
    try:
        said = kybern("up", f"--image-dir={ROOT}/build/images", "--no-sample")
        yield float(re.search(r"^node \S+ Ready +([\d.]+) s", said, re.M)[1])  # type: ignore[index]
    finally:
        kybern("down")


def pids() -> dict[str, int]:
    return {name: json.loads((DATA_DIR / "run" / f"{name}.json").read_text())["pid"] for name in PROCESSES}


def template() -> dict[str, Any]:
    container = {"name": "c", "image": "busybox:1.35", "command": ["sleep", "3600"]}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    return {"metadata": {"labels": {"app": "bench"}}, "spec": spec}


async def until_ready(client: Client, start: str, pods: int) -> None:
    ready: set[str] = set()
    async with asyncio.timeout(300):
        async for event in client.resource("v1", "pods").watch(NAMESPACE, resource_version=start):
            conditions = event.object.get("status", {}).get("conditions", [])
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                ready.add(event.object["metadata"]["name"])
            if len(ready) == pods:
                return


async def no_pods(client: Client) -> str:
    """Once none is left: the version to watch from."""
    while (found := await client.resource("v1", "pods").list(NAMESPACE)).items:
        await asyncio.sleep(0.1)
    return found.resource_version


async def one(client: Client) -> float:
    """Seconds from a pod's creation until it is Ready; the median of several."""
    pods, took = client.resource("v1", "pods"), []
    for number in range(SINGLE):
        start = await no_pods(client)
        began = time.monotonic()
        await pods.create({**template(), "metadata": {"name": f"single-{number}"}}, NAMESPACE)
        await until_ready(client, start, 1)
        took.append(time.monotonic() - began)
        await pods.delete(f"single-{number}", NAMESPACE)
    return statistics.median(took)


async def many(client: Client, running: dict[str, int], pods: int) -> dict[str, float]:
    """A Deployment of `pods` until all are Ready, then idle, then gone."""
    figures: dict[str, float] = {}
    deployments, start = client.resource("apps/v1", "deployments"), await no_pods(client)
    spec = {"replicas": pods, "selector": {"matchLabels": {"app": "bench"}}, "template": template()}
    before, began = {name: cpu(pid) for name, pid in running.items()}, time.monotonic()
    await deployments.create({"metadata": {"name": "bench"}, "spec": spec}, NAMESPACE)
    await until_ready(client, start, pods)
    figures[f"ready_s {pods}"] = time.monotonic() - began
    for name, pid in running.items():
        figures[f"cpu_ms_per_pod {pods} {name}"] = (cpu(pid) - before[name]) / pods * 1000
    await asyncio.sleep(5)
    idle = {name: cpu(pid) for name, pid in running.items()}
    await asyncio.sleep(IDLE_SECONDS)
    for name, pid in running.items():
        figures[f"idle_percent {pods} {name}"] = (cpu(pid) - idle[name]) / IDLE_SECONDS * 100
        figures[f"rss_mib {pods} {name}"] = rss(pid)
    figures[f"rss_mib {pods} all"] = rss(*running.values())
    began = time.monotonic()
    await deployments.delete("bench", NAMESPACE)
    await no_pods(client)
    figures[f"deleted_s {pods}"] = time.monotonic() - began
    return figures


async def measure(counts: list[int]) -> dict[str, float]:
    client, running = connect(load(DATA_DIR / "kubeconfig" / "admin.conf")), pids()
    await client.resource("v1", "namespaces", namespaced=False).create({"metadata": {"name": NAMESPACE}})
    while not (await client.resource("v1", "serviceaccounts").list(NAMESPACE)).items:
        await asyncio.sleep(0.05)
    await asyncio.sleep(2)
    figures = {"rss_mib all": rss(*running.values()), "one_ready_s": await one(client)}
    try:
        for pods in counts:
            figures |= await many(client, running, pods)
    finally:
        await client.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", default="30,80", help="how many at once, one number after another")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with cluster() as ready:
        figures = {"up_ready_s": ready, **asyncio.run(measure([int(count) for count in args.pods.split(",")]))}
    for name, value in figures.items():
        print(f"{name:<44} {value:10.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
