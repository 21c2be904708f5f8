"""The scheduling cycle alone, in one process: CPU per pod and pods per second, every node scored.

    python bench/scheduler_bench.py --nodes 5000 --pods 10000 [--kinds 1]
"""

from __future__ import annotations

import argparse
import asyncio
import time

from kybern.api.types import Object
from kybern.scheduler.cache import Cache
from kybern.scheduler.cycle import Scheduler, queue_for
from kybern.scheduler.framework import Handle
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.profiles import Configuration, build
from kybern.scheduler.report import Reporter


def node(index: int) -> Object:
    allocatable = {"cpu": "32", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    labels = {"kubernetes.io/hostname": f"node-{index}", "topology.kubernetes.io/zone": f"zone-{index % 3}"}
    return {"metadata": {"name": f"node-{index}", "labels": labels}, "status": {"allocatable": allocatable}}


def pod(index: int, kinds: int) -> Object:
    requests = {"cpu": f"{100 + index % kinds}m", "memory": "200Mi"}
    container = {"name": "app", "image": "app:1", "resources": {"requests": requests}}
    spec = {"schedulerName": "default-scheduler", "containers": [container]}
    return {"metadata": {"name": f"pod-{index}", "namespace": "default", "uid": str(index)}, "spec": spec}


async def measure(nodes: int, pods: int, kinds: int) -> tuple[float, float]:
    """(CPU ms per pod, pods per second), queueing and assuming included, binding left out."""
    profiles = build(Configuration(), Handle())
    cache = Cache()
    for index in range(nodes):
        cache.set_node(node(index))
    queue = queue_for(profiles)
    scheduler = Scheduler(profiles, cache, queue, Reporter())
    objects = [pod(index, kinds) for index in range(pods)]
    wall, cpu = time.monotonic(), time.process_time()
    for obj in objects:
        queue.add(PodInfo(obj))
    for _ in range(pods):
        queued = await queue.pop()
        choice = scheduler.choose(profiles["default-scheduler"], queued.pod)
        cache.assume(queued.pod, choice.node)
        queue.remove(queued.pod.key)
    return 1000 * (time.process_time() - cpu) / pods, pods / (time.monotonic() - wall)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--kinds", type=int, default=1, help="how many kinds of pods, taking turns")
    args = parser.parse_args()
    for nodes in args.nodes:
        cpu, rate = asyncio.run(measure(nodes, args.pods, args.kinds))
        print(f"scheduler cycle, {nodes} nodes, {args.pods} pods of {args.kinds} kinds: "
              f"{cpu:.3f} ms CPU per pod, {rate:.0f} pods/s")  # fmt: skip


if __name__ == "__main__":
    main()
