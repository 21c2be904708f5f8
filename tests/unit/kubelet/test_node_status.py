"""What a node says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kybern.kubelet import machine, node_status
from kybern.kubelet.machine import Machine, Usage
from kybern.kubelet.node_status import Facts
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.process.clock import format_time
from tests.unit.kubelet.making import NOW, config

GI = 1 << 30
BOX = Machine(4, 8 * GI, {"hugepages-2Mi": GI}, machine_id="m", kernel="6.1", os_image="Debian", architecture="arm64")
FREE = Usage(4 * GI, 100 * GI, 50 * GI)


def conditions(previous: list[dict[str, Any]] | None = None, **facts: Any) -> dict[str, dict[str, Any]]:
    seen = Facts(**{"now": NOW, "machine": BOX, "usage": FREE, **facts})
    found = node_status.conditions(config(), seen, previous or [])
    return {condition["type"]: condition for condition in found}


def test_a_healthy_node_is_ready_and_has_enough_of_everything() -> None:
    assert {name: (c["status"], c["reason"], c["message"]) for name, c in conditions().items()} == {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
    }


def test_a_node_that_is_not_ready_says_all_that_is_wrong() -> None:
    ready = conditions(not_ready=("container runtime is down",))["Ready"]
    assert (ready["status"], ready["reason"], ready["message"]) == (
        "False", "KubeletNotReady", "container runtime is down",
    )  # fmt: skip
    assert conditions(not_ready=("one", "two"))["Ready"]["message"] == "[one, two]"


def test_pressure_begins_below_the_thresholds() -> None:
    tight = conditions(usage=Usage((100 << 20) - 1, 100 * GI, 10 * GI - 1))
    assert tight["MemoryPressure"]["reason"] == "KubeletHasInsufficientMemory"
    assert tight["DiskPressure"]["reason"] == "KubeletHasDiskPressure"
    enough = conditions(usage=Usage(100 << 20, 100 * GI, 10 * GI))
    assert enough["MemoryPressure"]["status"] == enough["DiskPressure"]["status"] == "False"


def test_heartbeats_move_and_transition_times_stay() -> None:
    earlier = format_time(NOW - 100)
    theirs = {"type": "NetworkUnavailable", "status": "False"}
    old = [{"type": "Ready", "status": "True", "lastTransitionTime": earlier}, theirs]
    same = conditions(old)
    assert same["Ready"]["lastTransitionTime"] == earlier
    assert same["Ready"]["lastHeartbeatTime"] == format_time(NOW)
    assert same["NetworkUnavailable"] == theirs
    assert conditions(old, not_ready=("x",))["Ready"]["lastTransitionTime"] == format_time(NOW)


def test_allocatable_is_what_reservations_and_thresholds_leave() -> None:
    reserved = config(system_reserved={"cpu": "100m", "memory": "1Gi"}, kube_reserved={"cpu": "400m"}, max_pods=50)
    assert node_status.capacity(reserved, BOX, FREE) == {
        "cpu": "4", "ephemeral-storage": "100Gi", "hugepages-2Mi": "1Gi", "memory": "8Gi", "pods": "50",
    }  # fmt: skip
    assert node_status.allocatable(reserved, BOX, FREE) == {
        "cpu": "3500m",
        "ephemeral-storage": str(90 * GI),
        "hugepages-2Mi": "1Gi",
        "memory": f"{6 * 1024 - 100}Mi",
        "pods": "50",
    }


def test_more_reserved_than_there_is_leaves_nothing() -> None:
    found = node_status.allocatable(config(kube_reserved={"cpu": "8", "memory": "64Gi"}), BOX, FREE)
    assert (found["cpu"], found["memory"]) == ("0", "0")


def test_resources_of_device_plugins_are_kept() -> None:
    previous = {"capacity": {"example.com/gpu": "2", "cpu": "64"}, "allocatable": {"example.com/gpu": "1"}}
    found = node_status.build(config(), Facts(NOW, BOX, FREE), previous)
    assert found["capacity"]["example.com/gpu"] == "2"
    assert found["allocatable"]["example.com/gpu"] == "1"
    assert found["capacity"]["cpu"] == "4"


def test_labels_are_upstreams_and_the_operators() -> None:
    assert node_status.labels(config(node_labels={"disk": "ssd"}), BOX) == {
        "kubernetes.io/arch": "arm64",
        "beta.kubernetes.io/arch": "arm64",
        "kubernetes.io/os": "linux",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/hostname": "node1",
        "disk": "ssd",
    }


def test_a_heartbeat_alone_makes_no_difference() -> None:
    before = node_status.build(config(), Facts(NOW, BOX, FREE), {})
    later = node_status.build(config(), Facts(NOW + 10, BOX, FREE), before)
    assert not node_status.differs(before, later)
    assert node_status.difference(before, later).keys() == {"conditions"}
    unready = node_status.build(config(), Facts(NOW + 10, BOX, FREE, ("x",)), before)
    assert node_status.differs(before, unready)
    assert node_status.transitions(before["conditions"], unready["conditions"]) == ["NodeNotReady"]


def test_the_largest_images_are_listed_by_name() -> None:
    small = cri.Image(id="a", repo_tags=["small:1"], size=1)
    large = cri.Image(id="b", repo_tags=["large:1"], repo_digests=["large@sha256:0"], size=9)
    assert node_status.images([small, cri.Image(id="c", size=5), large]) == [
        {"names": ["large@sha256:0", "large:1"], "sizeBytes": 9},
        {"names": ["small:1"], "sizeBytes": 1},
    ]
    many = [cri.Image(id=str(n), repo_tags=[f"i:{n}"], size=n) for n in range(60)]
    assert len(node_status.images(many)) == node_status.MAX_IMAGES


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "proc/meminfo": "MemTotal:  2048 kB\nMemAvailable:  512 kB\n",
        "proc/swaps": "Filename Type Size\n/swapfile file 10\n",
        "etc/os-release": 'NAME="D"\nPRETTY_NAME="Debian 12"\n',
        "etc/machine-id": "abc\n",
        "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "3\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_machine_is_read_from_the_system(tree: Path) -> None:
    found = machine.read(tree)
    assert (found.memory, found.hugepages) == (2 << 20, {"hugepages-2Mi": 6 << 20})
    assert (found.os_image, found.machine_id, found.system_uuid) == ("Debian 12", "abc", "abc")
    assert machine.usage(tree / "not" / "there", tree).memory_available == 512 << 10
    assert machine.swaps(tree) == ["/swapfile"]
