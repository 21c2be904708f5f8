"""Real pods on the running cluster: time until N are Ready, CPU per pod of each process, idle CPU, memory.

usage: pods_bench.py [--data-dir DIR] [--pods 30] [--json FILE]; needs a cluster (`make up`)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

from bench.measure import cpu, rss
from kybern.client.kubeconfig import connect, load
from kybern.client.rest import Client

IDLE_SECONDS = 20
PROCESSES = ("apiserver", "kubelet", "controller-manager", "scheduler", "proxy", "dns", "containerd", "supervisor")


def pids(data_dir: Path) -> dict[str, int]:
    return {name: json.loads((data_dir / "run" / f"{name}.json").read_text())["pid"] for name in PROCESSES}


def deployment(pods: int) -> dict[str, Any]:
    container = {"name": "c", "image": "busybox:1.35", "command": ["sleep", "3600"]}
    template = {
        "metadata": {"labels": {"app": "bench"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
    }
    spec = {"replicas": pods, "selector": {"matchLabels": {"app": "bench"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bench"}, "spec": spec}


async def until_ready(client: Client, start: str, pods: int) -> None:
    ready: set[str] = set()
    async for event in client.resource("v1", "pods").watch("pods-bench", resource_version=start):
        conditions = event.object.get("status", {}).get("conditions", [])
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            ready.add(event.object["metadata"]["name"])
        if len(ready) == pods:
            return


async def measure(data_dir: Path, pods: int) -> dict[str, float]:
    client, running = connect(load(data_dir / "kubeconfig" / "admin.conf")), pids(data_dir)
    await client.resource("v1", "namespaces", namespaced=False).create({"metadata": {"name": "pods-bench"}})
    figures: dict[str, float] = {}
    try:
        accounts = client.resource("v1", "serviceaccounts")
        while not (await accounts.list("pods-bench")).items:
            await asyncio.sleep(0.05)
        start = (await client.resource("v1", "pods").list("pods-bench")).resource_version
        before, began = {name: cpu(pid) for name, pid in running.items()}, time.monotonic()
        await client.resource("apps/v1", "deployments").create(deployment(pods), "pods-bench")
        async with asyncio.timeout(300):
            await until_ready(client, start, pods)
        figures["all_ready_s"] = time.monotonic() - began
        for name, pid in running.items():
            figures[f"cpu_ms_per_pod {name}"] = (cpu(pid) - before[name]) / pods * 1000
        await asyncio.sleep(5)
        idle = {name: cpu(pid) for name, pid in running.items()}
        await asyncio.sleep(IDLE_SECONDS)
        for name, pid in running.items():
            figures[f"idle_percent {name}"] = (cpu(pid) - idle[name]) / IDLE_SECONDS * 100
            figures[f"rss_mib {name}"] = rss(pid)
        figures["rss_mib all"] = rss(*running.values())
        began = time.monotonic()
        await client.resource("apps/v1", "deployments").delete("bench", "pods-bench")
        while (await client.resource("v1", "pods").list("pods-bench")).items:
            await asyncio.sleep(0.1)
        figures["all_deleted_s"] = time.monotonic() - began
    finally:
        await client.resource("v1", "namespaces", namespaced=False).delete("pods-bench")
        await client.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path("/var/lib/kybern"))
    parser.add_argument("--pods", type=int, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures = asyncio.run(measure(args.data_dir, args.pods))
    for name, value in figures.items():
        print(f"{name:<36} {value:10.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
