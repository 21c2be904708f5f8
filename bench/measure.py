"""What every benchmark here shares: CPU and memory of processes, and a server to measure."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

TOKEN = "bench-token"


def cpu(*pids: int) -> float:
    """Seconds of CPU, user and system, that the processes have used."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(t.user + t.system for t in times)


def rss(*pids: int) -> float:
    """Resident memory in MiB."""
    return sum(psutil.Process(pid).memory_info().rss for pid in pids) / 2**20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tls() -> ssl.SSLContext:
    """Trusts any server: the one measured made its own certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@dataclass
class Server:
    """An API server of its own on a free port."""

    url: str
    pid: int
    ready_seconds: float

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}


@contextlib.contextmanager
def api_server() -> Iterator[Server]:
    """`kybern apiserver` on SQLite in a scratch directory, ready."""
    with tempfile.TemporaryDirectory(prefix="kybern-bench-") as scratch:
        (Path(scratch) / "tokens").write_text(f'{TOKEN},bench,1,"system:masters"\n')
        port = free_port()
        flags = [f"--data-dir={scratch}/data", f"--secure-port={port}", f"--token-auth-file={scratch}/tokens"]
        began = time.monotonic()
        with (Path(scratch) / "log").open("w") as log:
            child = subprocess.Popen([sys.executable, "-m", "kybern", "apiserver", *flags], stdout=log, stderr=log)
        try:
            url = f"https://127.0.0.1:{port}"
            _wait(url, child)
            yield Server(url, child.pid, time.monotonic() - began)
        finally:
            child.terminate()
            child.wait(20)


def _wait(url: str, child: subprocess.Popen[bytes]) -> None:
    context = tls()  # once: it reads all of the system's authorities, which takes longer than a poll
    request = urllib.request.Request(f"{url}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
    for _ in range(2000):
        if child.poll() is not None:
            raise SystemExit(f"the API server ended with {child.returncode}")
        with contextlib.suppress(OSError), urllib.request.urlopen(request, context=context, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.01)
    raise SystemExit("the API server did not become ready")


def pod(name: str = "", namespace: str = "bench") -> dict[str, Any]:
    """A pod of about 3 KB once stored."""
    metadata = {"name": name} if name else {"generateName": "p-"}
    labels, note = {"app": "bench", "tier": "x"}, {"note": "y" * 100}
    container = {
        "name": "c",
        "image": "registry.example/app:v1",
        "ports": [{"containerPort": 80}],
        "env": [{"name": f"E{i}", "value": "v" * 20} for i in range(8)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
    }
    spec = {"schedulerName": "nobody", "automountServiceAccountToken": False, "containers": [container]}
    metadata |= {"namespace": namespace, "labels": labels, "annotations": note}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@dataclass
class Load:
    """What a run of `hey` gave: requests a second, milliseconds at percentiles, CPU µs of the server per request."""

    rate: float
    p50: float
    p99: float
    cpu_us: float


def hey(
    server: Server, path: str, count: int, clients: int, method: str = "GET", body: Any = None, kind: str = ""
) -> Load:
    """Send `count` requests over `clients` connections. Any answer that isn't 2xx ends the benchmark."""
    command = ["hey", "-n", str(count), "-c", str(clients), "-m", method, "-H", f"Authorization: Bearer {TOKEN}"]
    with tempfile.NamedTemporaryFile("w") as file:
        if body is not None:
            json.dump(body, file)
            file.flush()
            command += ["-D", file.name, "-T", kind or "application/json"]
        before = cpu(server.pid)
        said = subprocess.run([*command, server.url + path], capture_output=True, text=True, check=True).stdout
        used = cpu(server.pid) - before
    wrong = [code for code in re.findall(r"\[(\d+)\]\s+\d+ responses", said) if not code.startswith("2")]
    if wrong or "Requests/sec" not in said:
        raise SystemExit(f"{method} {path}: answers {wrong or 'none'}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    at = {int(p): float(s) * 1000 for p, s in re.findall(r"(\d+)% in ([\d.]+) secs", said)}
    return Load(rate, at.get(50, 0.0), at.get(99, 0.0), used / count * 1e6)
