"""A kubelet alone on a real containerd: pods from a directory of manifests."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator

import pytest

from tests.integration.kubelet.node import Node, busybox, eventually

FOREVER = 'trap "exit 0" TERM; while true; do sleep 0.1; done; : {}'


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    if os.geteuid() or not all(map(shutil.which, ("containerd", "runc", "ctr", "catatonit", "busybox"))):
        pytest.skip("needs root, containerd, runc, catatonit and busybox")
    node = Node()
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
def kubelet(node: Node) -> Iterator[Node]:
    node.start_kubelet()
    yield node
    for manifest in node.layout.manifests.iterdir():
        manifest.unlink()
    eventually(lambda: not node.tasks(), what="the end of all containers")
    assert node.stop_kubelet() == 0


def forever(name: str) -> list[str]:
    return ["sh", "-c", FOREVER.format(name)]


def only(found: list[int]) -> int:
    return found[0] if len(found) == 1 else 0


def test_a_manifest_becomes_a_running_container_with_its_log(kubelet: Node) -> None:
    command = ["sh", "-c", "echo hello from $NAME; " + FOREVER.format("log")]
    pod = busybox("log", command)
    pod["spec"]["containers"][0]["env"] = [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    kubelet.write_manifest(pod)
    eventually(lambda: kubelet.pids(": log"), what="the container")
    logs = eventually(lambda: list((kubelet.layout.logs / "pods").glob("default_log-node1_*/main/0.log")))
    assert "hello from log-node1" in eventually(logs[0].read_text)
    links = eventually(lambda: list((kubelet.layout.logs / "containers").glob("log-node1_default_main-*.log")))
    assert [os.path.realpath(link) for link in links] == [str(logs[0])]


def test_a_killed_container_is_started_again_in_the_same_sandbox(kubelet: Node) -> None:
    kubelet.write_manifest(busybox("killed", forever("killed")))
    first = eventually(lambda: only(kubelet.pids(": killed")))
    sandbox = {id for id, pid in kubelet.tasks().items() if pid != first}
    os.kill(first, signal.SIGKILL)
    second = eventually(lambda: next((pid for pid in kubelet.pids(": killed") if pid != first), 0))
    assert {id for id, pid in kubelet.tasks().items() if pid != second} == sandbox
    assert list((kubelet.layout.logs / "pods").glob("default_killed-node1_*/main/1.log"))


def test_a_container_that_keeps_failing_waits_longer_each_time(kubelet: Node) -> None:
    kubelet.write_manifest(busybox("failing", ["sh", "-c", "exit 3"]))
    said = "Back-off restarting failed container main in pod failing-node1_default"
    eventually(lambda: said in kubelet.kubelet_log(), what="the back-off")


def test_a_pod_without_its_manifest_is_removed(kubelet: Node) -> None:
    manifest = kubelet.write_manifest(busybox("leaving", forever("leaving")))
    pid = eventually(lambda: only(kubelet.pids(": leaving")))
    manifest.unlink()
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), what="the container's end")
    root = kubelet.layout.root
    left = lambda: [*(root / "kubelet/pods").iterdir(), *(root / "logs/pods").iterdir()]  # noqa: E731
    eventually(lambda: not left(), what="the end of its directories")
    assert not kubelet.tasks()


def test_a_changed_manifest_replaces_the_pod(kubelet: Node) -> None:
    kubelet.write_manifest(busybox("changed", forever("before")))
    eventually(lambda: kubelet.pids(": before"))
    kubelet.write_manifest(busybox("changed", forever("after")))
    eventually(lambda: kubelet.pids(": after"))
    assert not kubelet.pids(": before")


def test_a_kubelet_that_comes_back_adopts_what_runs(node: Node) -> None:
    node.start_kubelet()
    node.write_manifest(busybox("adopted", forever("adopted")))
    before = eventually(lambda: node.pids(": adopted") and node.tasks())
    eventually(lambda: "adopted-node1 spec.containers{main}: Started" in node.kubelet_log())
    assert node.stop_kubelet() == 0
    assert node.tasks() == before, "the kubelet's end must not touch the pods"

    # A second pod shows that the new kubelet has looked at everything by then.
    node.write_manifest(busybox("second", forever("second")))
    node.start_kubelet()
    eventually(lambda: node.pids(": second"))
    assert before.items() <= node.tasks().items()
    for manifest in node.layout.manifests.iterdir():
        manifest.unlink()
    eventually(lambda: not node.tasks(), what="the end of all containers")
    assert node.stop_kubelet() == 0
