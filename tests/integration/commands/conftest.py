"""`kybern COMMAND` as operators run it: a process, its exit code and what it says."""

from __future__ import annotations

import base64
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from kybern.testing.etcd import free_ports

KYBERN = (sys.executable, "-m", "kybern")
TOKEN = "secret"
PATIENCE = 30.0


def run(
    *arguments: object, env: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    command = (*prefix, *KYBERN, *map(str, arguments))
    known = {**os.environ, **(env or {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=known)


def refused(*arguments: object, env: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()) -> str:
    """What the command says: exactly one line, on stderr, with exit code 1."""
    done = run(*arguments, env=env, prefix=prefix)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    return lines[0]


def until(look: Callable[[], Any], what: str) -> Any:
    """The first value of `look` that is something. Fails after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, f"waited for {what} in vain"
        time.sleep(0.05)
    return found


@dataclass
class Process:
    """A component that runs in the background; its log is a file."""

    log: Path
    child: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: object) -> None:
        with self.log.open("ab") as out:
            self.child = subprocess.Popen([*KYBERN, *map(str, arguments)], stdout=out, stderr=out)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.child:
            self.child.send_signal(number)
            self.child.wait(PATIENCE)
            self.child = None

    def said(self, words: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if words in line]


@dataclass
class APIServer:
    """An API server on a data directory, startable again on the same port."""

    directory: Path
    flags: list[object] = field(default_factory=list)
    port: int = field(default_factory=lambda: free_ports(1)[0])

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        tokens = self.directory.with_name(f"{self.directory.name}.tokens")
        tokens.write_text(f"{TOKEN},admin,1,system:masters\n")
        self.flags += ["--data-dir", self.directory, "--secure-port", self.port, "--bind-address", "127.0.0.1"]
        self.flags += ["--token-auth-file", tokens]
        self.process = Process(self.directory.with_name(f"{self.directory.name}.log"))

    def start(self) -> None:
        self.process.start("apiserver", *self.flags)
        until(self._ready, f"the API server:\n{self.process.log.read_text()}")

    def _ready(self) -> bool:
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and what was answered. Raises OSError."""
        data = None if body is None else orjson.dumps(body)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", data, headers, method=method)
        context = ssl._create_unverified_context()
        try:
            with urllib.request.urlopen(request, context=context, timeout=PATIENCE) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _decoded(error.read())

    def kubeconfig(self, path: Path, *, user: str = f"{{token: {TOKEN}}}", ca: bytes | None = None) -> Path:
        trusted = ca if ca is not None else (self.directory / "apiserver.crt").read_bytes()
        return write_kubeconfig(path, f"https://127.0.0.1:{self.port}", user=user, ca=trusted)


def _decoded(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode()


def write_kubeconfig(path: Path, server: str, *, user: str = f"{{token: {TOKEN}}}", ca: bytes = b"") -> Path:
    authority = f", certificate-authority-data: {base64.b64encode(ca).decode()}" if ca else ""
    path.write_text(f"""current-context: c
clusters: [{{name: k, cluster: {{server: "{server}"{authority}}}}}]
users: [{{name: u, user: {user}}}]
contexts: [{{name: c, context: {{cluster: k, user: u}}}}]
""")
    return path


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """Of a server that is not there."""
    return write_kubeconfig(tmp_path / "kubeconfig", f"https://127.0.0.1:{free_ports(1)[0]}")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 that somebody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[APIServer]:
    """Not yet started."""
    made = APIServer(tmp_path / "server")
    yield made
    made.process.stop(signal.SIGKILL)


@pytest.fixture
def components(tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    """Makes processes that end with the test."""
    made: list[Process] = []

    def make(name: str) -> Process:
        made.append(Process(tmp_path / f"{name}.log"))
        return made[-1]

    yield make
    for process in made:
        process.stop(signal.SIGKILL)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """16 MiB of memory as a disk of its own."""
    where = tmp_path / "disk"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", where], check=True)
    yield where
    subprocess.run(["umount", "-l", where], check=True)


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory that only root may look into, at a path that all may reach."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def open_kubeconfig() -> Iterator[Path]:
    """Of a server that is not there; for all to read."""
    with tempfile.NamedTemporaryFile() as file:
        os.chmod(file.name, 0o644)
        yield write_kubeconfig(Path(file.name), "https://127.0.0.1:1")
