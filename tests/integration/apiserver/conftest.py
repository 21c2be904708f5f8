"""One `kybern apiserver` for all tests here, as a process of its own, and the real kubectl to judge it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.apiserver.inprocess import Api, serving

START_SECONDS = 60
TOKEN = "test-token"


@dataclass
class Kubectl:
    """Runs kubectl against the server; `namespace` is its default."""

    server: str
    directory: Path
    namespace: str = "default"

    def run(self, *args: str, stdin: Any = None, ok: bool | None = True) -> subprocess.CompletedProcess[str]:
        """Run it with objects (one, or a list), text or nothing at its input. `ok` says whether it must succeed; None
        if it may or may not."""
        command = ["kubectl", "--server", self.server, "--token", TOKEN, "--insecure-skip-tls-verify"]
        command += ["--cache-dir", str(self.directory / "cache"), "-n", self.namespace, *args]
        if stdin is not None and not isinstance(stdin, str):
            stdin = yaml.safe_dump_all(stdin if isinstance(stdin, list) else [stdin])
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
        assert ok is None or (done.returncode == 0) is ok, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def out(self, *args: str, stdin: Any = None) -> str:
        """What it prints, without the last newline."""
        return self.run(*args, stdin=stdin).stdout.rstrip("\n")

    def error(self, *args: str, stdin: Any = None) -> str:
        """What it complains of."""
        return self.run(*args, stdin=stdin, ok=False).stderr.rstrip("\n")

    def get(self, *args: str) -> dict[str, Any]:
        """An object or a list."""
        found: dict[str, Any] = json.loads(self.out("get", *args, "-o", "json", "--show-managed-fields"))
        return found

    def until(self, check: Callable[[], Any], what: str, seconds: float = 30) -> Any:
        """What `check` gives as soon as it is true."""
        deadline = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            time.sleep(0.05)
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(directory: Path, *flags: str, up: str = "readyz") -> Iterator[Kubectl]:
    """A server with these flags besides; `directory` keeps its data, so that another may go on with them. `up` is
    the path that tells when it is there."""
    tokens = directory / "tokens.csv"
    tokens.write_text(f"{TOKEN},tester,1,system:masters\n")
    port = free_port()
    command = [sys.executable, "-m", "kybern", "apiserver", "--data-dir", str(directory / "data")]
    command += ["--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"]
    command += ["--secure-port", str(port), "--token-auth-file", str(tokens), *flags]
    log = (directory / "log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        kubectl = Kubectl(f"https://127.0.0.1:{port}", directory)
        kubectl.until(lambda: _ready(kubectl, process, directory, up), "ready", START_SECONDS)
        yield kubectl
    finally:
        process.terminate()
        process.wait(30)
        log.close()


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    with running(tmp_path_factory.mktemp("apiserver")) as kubectl:
        yield kubectl


def _ready(kubectl: Kubectl, process: subprocess.Popen[bytes], directory: Path, path: str) -> bool:
    assert process.poll() is None, (directory / "log").read_text()
    import ssl

    trusting = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(f"{kubectl.server}/{path}", context=trusting, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def kubectl(apiserver: Kubectl, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl with a namespace of the test's own."""
    name = "t-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:50].strip("-")
    apiserver.run("create", "namespace", name)
    yield Kubectl(apiserver.server, apiserver.directory, name)
    apiserver.run("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[Api]:
    """A server in this process, for all tests of a file."""
    async with serving() as made:
        yield made
