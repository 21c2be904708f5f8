"""How a pod's requests add up."""

from __future__ import annotations

from kybern.scheduler.pod import PodInfo, total_requests
from tests.unit.scheduler.builders import pod


def container(cpu: str, **more: object) -> dict[str, object]:
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}


def test_init_containers_count_by_their_peak() -> None:
    spec = {"containers": [container("1"), container("1")], "initContainers": [container("3"), container("500m")]}
    assert total_requests(spec, {}) == {"cpu": 3000}


def test_sidecars_count_for_good_and_under_later_init_containers() -> None:
    sidecar = container("1", restartPolicy="Always")
    assert total_requests({"containers": [container("1")], "initContainers": [sidecar]}, {}) == {"cpu": 2000}
    spec = {"containers": [container("1")], "initContainers": [sidecar, container("2")]}
    assert total_requests(spec, {}) == {"cpu": 3000}


def test_overhead_and_pod_level_requests() -> None:
    spec = {"containers": [container("1")], "overhead": {"cpu": "250m", "memory": "1Mi"}}
    assert total_requests(spec, {}) == {"cpu": 1250, "memory": 1048576}
    spec["resources"] = {"requests": {"cpu": "5"}}
    assert total_requests(spec, {})["cpu"] == 5250


def test_containers_without_requests_count_when_scoring() -> None:
    assert PodInfo(pod("p")).requests == {}
    assert PodInfo(pod("p")).nonzero == {"cpu": 100, "memory": 200 * 1024 * 1024}
