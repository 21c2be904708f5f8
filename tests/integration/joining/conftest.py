"""An API server and a controller manager as processes of their own, with a CA, and kubectl as the judge."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from kybern.cluster.credentials import ADMIN, CONTROL_PLANE
from kybern.cluster.pki import Authority, Identity, write_kubeconfig


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ControlPlane:
    """`kubectl` and `token` act as the administrator."""

    directory: Path
    authority: Authority
    server: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def admin(self) -> str:
        return str(self.directory / "admin.conf")

    @property
    def ca(self) -> str:
        return str(self.authority.certificate_path)

    def start(self, command: str, *flags: str) -> subprocess.Popen[bytes]:
        """A component as a process, ended with the control plane."""
        with (self.directory / f"{command}.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-m", "kybern", command, *flags], stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(30)

    def log(self, command: str) -> str:
        return (self.directory / f"{command}.log").read_text()

    def run(self, *command: str, stdin: str | None = None, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0) is ok, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def kubectl(self, *args: str, stdin: Any = None, config: str = "") -> str:
        """What it prints."""
        text = None if stdin is None else yaml.safe_dump(stdin)
        cache = str(self.directory / "cache")
        command = ("kubectl", "--kubeconfig", config or self.admin, "--cache-dir", cache, *args)
        return self.run(*command, stdin=text).stdout.rstrip("\n")

    def get(self, *args: str, config: str = "") -> Any:
        return json.loads(self.kubectl("get", *args, "-o", "json", config=config))

    def token(self, *args: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """`kybern token`."""
        return self.run(sys.executable, "-m", "kybern", "token", "--kubeconfig", self.admin, *args, ok=ok)

    def curl(self, path: str, *args: str) -> tuple[int, str]:
        """Status and body of a GET."""
        done = self.run("curl", "-s", "--cacert", self.ca, "-w", "\n%{http_code}", *args, f"{self.server}{path}")
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def until(self, check: Callable[[], Any], what: str, seconds: float = 40) -> Any:
        """What `check` gives as soon as it is true."""
        deadline = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            time.sleep(0.1)
        return found


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    for program in ("kubectl", "curl", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    directory = tmp_path_factory.mktemp("joining")
    authority, port = Authority(directory), free_port()
    made = ControlPlane(directory, authority, f"https://127.0.0.1:{port}")
    certificate, key = authority.issue("apiserver", Identity("kube-apiserver", names=("127.0.0.1",), client=False))
    for user, who in {"admin": ADMIN, **CONTROL_PLANE}.items():
        pair = authority.issue(f"{user}-client", who)
        write_kubeconfig(directory / f"{user}.conf", made.server, authority, *pair, who.common_name)
    try:
        made.start(
            "apiserver", "--data-dir", str(directory / "data"), "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={port}", f"--client-ca-file={made.ca}",
            f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}", "--enable-bootstrap-token-auth",
        )  # fmt: skip
        made.until(lambda: _ready(made), "the API server", 60)
        made.start(
            "controller-manager", f"--kubeconfig={directory}/controller-manager.conf", "--leader-elect=false",
            "--secure-port=0", "--controllers=*,bootstrapsigner,tokencleaner", f"--root-ca-file={made.ca}",
            f"--cluster-signing-cert-file={made.ca}", f"--cluster-signing-key-file={authority.key_path}",
        )  # fmt: skip
        yield made
    finally:
        made.stop()


def _ready(plane: ControlPlane) -> bool:
    assert plane.processes[0].poll() is None, plane.log("apiserver")
    command = ["curl", "-s", "--cacert", plane.ca, f"{plane.server}/readyz"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout == "ok"
