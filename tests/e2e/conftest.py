"""One real cluster for all of these tests, made by `kybern up` as a user would, and taken away at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import bare
from tests.e2e.host_state import snapshot

ROOT = Path(__file__).resolve().parents[2]
DATA_DIR = Path("/var/lib/kybern-e2e")
NODES_DIR = Path("/var/lib/kybern-e2e-nodes")
KYBERN = [sys.executable, "-m", "kybern"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is e2e. Clusters of their own come first: then the shared one may be made. Its end is last."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(180))
    alone = ("test_nodes.py", "test_init_join.py")
    last = "test_down_leaves_nothing_on_the_host"
    items.sort(key=lambda item: (item.path.name not in alone, item.name == last))


def kybern(
    *arguments: str, check: bool = True, timeout: float = 170, data_dir: Path = DATA_DIR
) -> subprocess.CompletedProcess[str]:
    command = [*KYBERN, arguments[0], f"--data-dir={data_dir}", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}\n{logs(data_dir)}")
    return done


def logs(data_dir: Path) -> str:
    """The end of each component's log, for a failure's message."""
    files = sorted((data_dir / "logs").glob("*.log"))
    ends = ["\n".join(path.read_text(errors="replace").splitlines()[-15:]) for path in files]
    return "\n".join(f"--- {path.name}\n{end}" for path, end in zip(files, ends, strict=True))


@dataclass
class Cluster:
    """A running cluster and kubectl for it."""

    before: dict[str, list[str]]
    said: str

    @property
    def kubeconfig(self) -> str:
        return str(DATA_DIR / "kubeconfig" / "admin.conf")

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 60) -> str:
        done = self.kubectl_process(*arguments, stdin=stdin, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def kubectl_process(
        self, *arguments: str, stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> str:
        body = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.kubectl("apply", "-f", "-", stdin=body)


def eventually(check: Callable[[], Any], seconds: float = 45, every: float = 0.2) -> Any:
    """The first true value of `check`; fails with the last one, or the last AssertionError, after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value: Any = check()
        except AssertionError as error:
            value, last = None, error
        else:
            last = AssertionError(f"still {value!r} after {seconds} s")
        if value:
            return value
        if time.monotonic() > deadline:
            raise last
        time.sleep(every)


@pytest.fixture(scope="session")
def host() -> None:
    """The machine without what killed runs of any of these tests left on it."""
    if os.geteuid():
        pytest.fail("e2e tests need root")
    for directory in (DATA_DIR, NODES_DIR):
        if directory.exists():
            kybern("down", data_dir=directory)
    bare.clear()
    snapshot()  # listing rules may itself create empty tables; settle that first


@pytest.fixture(scope="session")
def cluster(host: None) -> Iterator[Cluster]:
    before = snapshot()
    try:
        up = kybern("up", f"--image-dir={ROOT}/build/images")
        yield Cluster(before, up.stdout)
    finally:
        kybern("down", check=False)


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"t-{abs(hash(request.node.name)) % 10**8}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def pod(name: str, command: list[str], **spec: Any) -> dict[str, Any]:
    """A busybox pod."""
    container = {"name": "main", "image": "busybox:1.35", "command": command, **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }
