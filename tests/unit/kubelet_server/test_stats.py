"""What is said of usage."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from kybern.kubelet.http import stats
from kybern.kubelet.http.stats import Usage
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.runtime.state import CONTAINER_NAME, POD_UID
from kybern.process.clock import clock
from tests.unit.kubelet_server.conftest import Node


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_usage_of_a_group_in_cgroup_v2(tmp_path: Path) -> None:
    write(tmp_path, {
        "cgroup.controllers": "cpu memory\n",
        "kubepods/pod1/cpu.stat": "usage_usec 1500\nuser_usec 1000\n",
        "kubepods/pod1/memory.current": "1000\n",
        "kubepods/pod1/memory.stat": "anon 400\nfile 600\ninactive_file 100\n",
    })  # fmt: skip
    assert stats.group_usage("/kubepods/pod1", tmp_path) == Usage(1_500_000, 1000, 900, 400)


def test_usage_of_a_group_in_cgroup_v1(tmp_path: Path) -> None:
    write(tmp_path, {
        "cpuacct/kubepods/pod1/cpuacct.usage": "77\n",
        "memory/kubepods/pod1/memory.usage_in_bytes": "1000\n",
        "memory/kubepods/pod1/memory.stat": "rss 1\ntotal_rss 400\ntotal_inactive_file 1200\n",
    })  # fmt: skip
    assert stats.group_usage("/kubepods/pod1", tmp_path) == Usage(77, 1000, 0, 400)


def test_a_group_that_is_not_there_has_no_usage(tmp_path: Path) -> None:
    assert stats.group_usage("/kubepods/pod1", tmp_path) == Usage()


def test_usage_of_the_node(tmp_path: Path) -> None:
    write(tmp_path, {
        "stat": "cpu  100 0 50 1000 9 0 0 0 0 0\ncpu0 1 1\n",
        "meminfo": "MemTotal: 100 kB\nMemFree: 40 kB\nInactive(file): 10 kB\nAnonPages: 20 kB\nHugePages_Total: 0\n",
    })  # fmt: skip
    usage, total = stats.node_usage(tmp_path)
    assert usage == Usage(1_500_000_000, 60 * 1024, 50 * 1024, 20 * 1024)
    assert total == 100 * 1024


def measured(node: Node, nanoseconds: int) -> None:
    labels = {POD_UID: "u1", CONTAINER_NAME: "c"}
    node.runtime.stats = [
        cri.ContainerStats(
            attributes=cri.ContainerAttributes(id="id1", labels=labels),
            cpu=cri.CpuUsage(usage_core_nano_seconds=cri.UInt64Value(value=nanoseconds)),
            memory=cri.MemoryUsage(working_set_bytes=cri.UInt64Value(value=4096)),
        ),
        cri.ContainerStats(attributes=cri.ContainerAttributes(id="dead", labels=labels)),
    ]


async def test_the_summary_tells_rates_between_two_looks(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_fn", lambda: 1000.0)
    measured(node, 5_000_000_000)
    assert (await node.ask("/stats/summary"))[0] == 200
    monkeypatch.setattr(clock, "now_fn", lambda: 1010.0)
    measured(node, 6_000_000_000)
    summary = orjson.loads((await node.ask("/stats/summary"))[1])
    assert summary["node"]["nodeName"] == "n1"
    assert summary["node"]["memory"]["availableBytes"] > 0
    (pod,) = summary["pods"]
    assert pod["podRef"] == {"name": "p", "namespace": "default", "uid": "u1"}
    (container,) = pod["containers"]
    assert container["cpu"]["usageCoreNanoSeconds"] == 6_000_000_000
    assert container["cpu"]["usageNanoCores"] == pod["cpu"]["usageNanoCores"] == 100_000_000
    assert container["memory"]["workingSetBytes"] == 4096


async def test_resource_metrics(node: Node) -> None:
    measured(node, 1_500_000_000)
    status, body = await node.ask("/metrics/resource")
    assert status == 200
    lines = [line.rpartition(" ")[0] for line in body.decode().splitlines() if not line.startswith("#")]
    assert 'container_cpu_usage_seconds_total{container="c",namespace="default",pod="p"} 1.5' in lines
    assert 'pod_memory_working_set_bytes{namespace="default",pod="p"} 4096' in lines
    assert 'container_start_time_seconds{container="c",namespace="default",pod="p"} 1769860801' in lines
    assert any(line.startswith("node_memory_working_set_bytes ") for line in lines)
    assert "resource_scrape_error" in lines
