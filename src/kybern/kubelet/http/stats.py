"""/stats/summary and /metrics/resource: what the node, its pods and their containers use of CPU and memory.

Containers are measured by the runtime, pods by their cgroups (v1 or v2), the node by /proc.
Source: the kubelet's Summary API and KEP-727 (resource metrics).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kybern.api.types import Object
from kybern.kubelet import cgroups
from kybern.kubelet.http.served import Served, newest
from kybern.kubelet.runtime import state
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.process.clock import clock, format_time, parse_time

_MIN_WINDOW = 5.0
"""Seconds between the two looks that a CPU rate is made of."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time in nanoseconds since the start, memory in bytes. None: not known."""

    cpu: int | None = None
    memory: int | None = None
    working_set: int | None = None
    rss: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One look at everything. `pods` has each pod's metadata, its own usage and that of its containers by name."""

    at: float
    node: Usage
    memory_total: int
    pods: list[tuple[Object, Usage, dict[str, Usage]]]


def node_usage(proc: Path = Path("/proc")) -> tuple[Usage, int]:
    """The node's usage and its memory in bytes. Raises OSError."""
    user, nice, system, _, _, irq, soft, steal = map(int, (proc / "stat").read_text().split("\n", 1)[0].split()[1:9])
    busy = (user + nice + system + irq + soft + steal) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
    info = {}
    for line in (proc / "meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        info[name] = int(rest.split()[0]) * 1024
    used = info["MemTotal"] - info["MemFree"]
    working = max(0, used - info["Inactive(file)"])
    return Usage(busy, used, working, info["AnonPages"]), info["MemTotal"]


def group_usage(group: str, root: Path = cgroups.ROOT) -> Usage:
    """The usage of a control group, e.g. `/kubepods/pod1`; empty where there is none."""
    relative = group.lstrip("/")
    if cgroups.is_v2(root):
        at = root / relative
        cpu = _fields(at / "cpu.stat").get("usage_usec")
        memory, fields = _number(at / "memory.current"), _fields(at / "memory.stat")
        inactive, rss = fields.get("inactive_file", 0), fields.get("anon")
        nanoseconds = cpu * 1000 if cpu is not None else None
    else:
        nanoseconds = _number(root / "cpuacct" / relative / "cpuacct.usage")
        at = root / "memory" / relative
        memory, fields = _number(at / "memory.usage_in_bytes"), _fields(at / "memory.stat")
        inactive, rss = fields.get("total_inactive_file", 0), fields.get("total_rss")
    working = max(0, memory - inactive) if memory is not None else None
    return Usage(nanoseconds, memory, working, rss)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _fields(path: Path) -> dict[str, int]:
    try:
        words = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {name: int(value) for name, value in words}


def container_usage(stats: cri.ContainerStats) -> Usage:
    """What the runtime says of a container."""
    cpu, memory = stats.cpu, stats.memory
    return Usage(
        cpu.usage_core_nano_seconds.value if cpu.HasField("usage_core_nano_seconds") else None,
        memory.usage_bytes.value if memory.HasField("usage_bytes") else None,
        memory.working_set_bytes.value if memory.HasField("working_set_bytes") else None,
        memory.rss_bytes.value if memory.HasField("rss_bytes") else None,
    )


def _sum(usages: list[Usage]) -> Usage:
    def total(values: list[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    return Usage(
        total([u.cpu for u in usages]),
        total([u.memory for u in usages]),
        total([u.working_set for u in usages]),
        total([u.rss for u in usages]),
    )


class Stats:
    """Measures on demand, and remembers enough to tell rates."""

    def __init__(self, kubelet: Served) -> None:
        self._kubelet = kubelet
        self._before: dict[str, tuple[float, int]] = {}
        self._now: dict[str, tuple[float, int]] = {}

    async def measure(self) -> Measured:
        """One look. Raises RuntimeFailure, OSError."""
        host = self._kubelet.host
        found: dict[str, dict[str, Usage]] = {}
        running = {c.id for pod in host.cache.pods.values() for c in pod.running}
        for stats in await host.runtime.container_stats():
            labels = stats.attributes.labels
            if stats.attributes.id in running and (uid := labels.get(state.POD_UID)):
                found.setdefault(uid, {})[labels.get(state.CONTAINER_NAME, "")] = container_usage(stats)
        pods = []
        for uid, containers in found.items():
            if worker := self._kubelet.pods.workers.get(uid):
                usage = group_usage(cgroups.parent(host.config.cgroup_root, worker.pod))
                known = usage if usage.cpu is not None and usage.memory is not None else _sum(list(containers.values()))
                pods.append((newest(worker), known, containers))
        node, total = node_usage()
        return Measured(clock.time(), node, total, pods)

    async def summary(self) -> Object:
        """The Summary. Raises RuntimeFailure, OSError."""
        measured = await self.measure()
        if all(measured.at - at >= _MIN_WINDOW for at, _ in self._now.values()):
            self._before, self._now = self._now, {}
        available = measured.memory_total - (measured.node.working_set or 0)
        node: Object = {"nodeName": self._kubelet.host.config.node_name, **self._usage("", measured.node, measured.at)}
        node["memory"]["availableBytes"] = max(0, available)
        return {"node": node, "pods": [self._pod(measured.at, *pod) for pod in measured.pods]}

    def _pod(self, at: float, pod: Object, usage: Usage, containers: dict[str, Usage]) -> Object:
        meta = pod["metadata"]
        uid = meta["uid"]
        return {
            "podRef": {"name": meta["name"], "namespace": meta["namespace"], "uid": uid},
            "startTime": (pod.get("status") or {}).get("startTime") or meta.get("creationTimestamp"),
            "containers": [
                {"name": name, **self._usage(f"{uid}/{name}", used, at)} for name, used in sorted(containers.items())
            ],
            **self._usage(uid, usage, at),
        }

    def _usage(self, key: str, usage: Usage, at: float) -> Object:
        cpu: Object = {"time": format_time(at), "usageCoreNanoSeconds": usage.cpu}
        if usage.cpu is not None:
            self._now.setdefault(key, (at, usage.cpu))
            before_at, before = self._before.get(key, self._now[key])
            if at > before_at:
                cpu["usageNanoCores"] = max(0, round((usage.cpu - before) / (at - before_at)))
        memory = {"usageBytes": usage.memory, "workingSetBytes": usage.working_set, "rssBytes": usage.rss}
        return {
            "cpu": {name: value for name, value in cpu.items() if value is not None},
            "memory": {"time": format_time(at), **{n: value for n, value in memory.items() if value is not None}},
        }


def resource_metrics(measured: Measured) -> bytes:
    """In Prometheus' text format, as metrics-server reads it."""
    stamp = int(measured.at * 1000)
    series: dict[str, list[str]] = {}

    def add(name: str, labels: dict[str, str], value: float | None) -> None:
        if value is not None:
            inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
            series.setdefault(name, []).append(f"{name}{{{inside}}} {value:.10g} {stamp}".replace("{}", ""))

    def usage(what: str, labels: dict[str, str], used: Usage) -> None:
        add(f"{what}_cpu_usage_seconds_total", labels, used.cpu / 1e9 if used.cpu is not None else None)
        add(f"{what}_memory_working_set_bytes", labels, used.working_set)

    usage("node", {}, measured.node)
    for pod, used, containers in measured.pods:
        meta = pod["metadata"]
        names = {"namespace": meta["namespace"], "pod": meta["name"]}
        usage("pod", names, used)
        statuses = {s["name"]: s for s in (pod.get("status") or {}).get("containerStatuses") or []}
        for container, inner in sorted(containers.items()):
            labels = {"container": container, **names}
            usage("container", labels, inner)
            started = (statuses.get(container, {}).get("state") or {}).get("running") or {}
            if started.get("startedAt"):
                add("container_start_time_seconds", labels, parse_time(started["startedAt"]))
    lines = []
    for name, samples in sorted(series.items()):
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE {name} {kind}", *samples]
    lines += ["# TYPE resource_scrape_error gauge", "resource_scrape_error 0"]
    return ("\n".join(lines) + "\n").encode()
