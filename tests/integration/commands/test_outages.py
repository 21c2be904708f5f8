"""An API server that goes and comes back, one that isn't trusted or doesn't trust, and one whose disk is full."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest

from kybern.testing import certificates
from kybern.testing.etcd import free_ports
from tests.integration.commands.conftest import APIServer, Process, refused, until

Make = Callable[[str], Process]
MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"


def service(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}


def addresses(port: int, name: str) -> list[str]:
    question = dns.message.make_query(f"{name}.default.svc.cluster.local", "A")
    answer = dns.query.udp(question, "127.0.0.1", timeout=10, port=port)
    return [str(record) for found in answer.answer for record in found]


def outages(component: Process) -> list[str]:
    """What it said of them, in order."""
    words = ("no answer", "answers again")
    return [word for line in component.said("") for word in words if word in line]


def test_an_outage_is_told_once_and_survived(server: APIServer, components: Make, tmp_path: Path) -> None:
    server.start()
    server.ask("POST", SERVICES, service("before"))
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
    resolver, manager = components("dns"), components("manager")
    port, health = free_ports(2)
    resolver.start("dns", "--kubeconfig", kubeconfig, "--bind-address", "127.0.0.1", "--port", port,
                   "--healthz-port", health)  # fmt: skip
    manager.start("controller-manager", "--kubeconfig", kubeconfig, "--leader-elect=false", "--secure-port", "0")
    until(lambda: resolver.said("answering for"), "the DNS server")
    until(lambda: addresses(port, "before"), "the service")
    until(lambda: server.ask("GET", f"{MAPS}?limit=1")[0] == 200, "the API")
    server.process.stop()
    for component in (resolver, manager):
        until(lambda one=component: one.said("no answer from"), "word of the outage")
    assert addresses(port, "before"), "answers from what it knew"
    server.start()
    for component in (resolver, manager):
        # A server that ends may answer again after it closed connections: each outage has a beginning and an end.
        until(lambda one=component: outages(one)[-1:] == ["answers again"], "word of its end")
        told = outages(component)
        assert told == ["no answer", "answers again"] * (len(told) // 2)
        assert not component.said("Traceback") and not component.said("failed:")
    server.ask("POST", SERVICES, service("after"))
    until(lambda: addresses(port, "after"), "what was made after the outage")


def failing(components: Make, name: str, kubeconfig: Path) -> str:
    """What a component says of a server that it can't work with; it must go on trying, and say it once."""
    process = components(name)
    process.start("scheduler", "--kubeconfig", kubeconfig, "--secure-port", "0", "--leader-elect=false")
    until(lambda: process.said("no answer from"), "a word")
    process.stop()
    lines = process.said("")
    assert len(lines) == 1, lines
    return lines[0]


def test_servers_that_are_not_trusted_or_do_not_trust(server: APIServer, components: Make, tmp_path: Path) -> None:
    old, other = certificates.key(), certificates.key()
    expired = certificates.certificate("somebody", old, age=timedelta(days=2))
    unknown = certificates.certificate("somebody", other)
    (tmp_path / "client-ca.crt").write_bytes(expired)
    server.flags += ["--client-ca-file", tmp_path / "client-ca.crt"]
    server.start()

    wrong_ca = server.kubeconfig(tmp_path / "wrong-ca", ca=unknown)
    assert "its certificate is not trusted (self-signed certificate); check the CA" in failing(
        components, "wrong-ca", wrong_ca
    )
    assert "its certificate is not trusted" in refused("token", "--kubeconfig", wrong_ca, "list")
    users = {}
    for name, certificate, key in (("expired", expired, old), ("unknown", unknown, other)):
        (tmp_path / f"{name}.crt").write_bytes(certificate)
        (tmp_path / f"{name}.key").write_bytes(certificates.key_pem(key))
        user = f"{{client-certificate: {name}.crt, client-key: {name}.key}}"
        users[name] = server.kubeconfig(tmp_path / name, user=user)
    assert "may not trust the client certificate" in failing(components, "unknown-log", users["unknown"])
    for command in ("scheduler", "dns", "controller-manager"):
        said = refused(command, "--kubeconfig", users["expired"])
        assert "expired on" in said and "have a new one issued" in said


def test_a_wrong_token(server: APIServer, tmp_path: Path) -> None:
    server.flags += ["--anonymous-auth=false"]
    server.start()
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", user="{token: wrong}")
    assert "Unauthorized" in refused("token", "--kubeconfig", kubeconfig, "list")


def test_an_etcd_that_is_not_there(tmp_path: Path) -> None:
    etcd = f"http://127.0.0.1:{free_ports(1)[0]}"
    said = refused("apiserver", "--data-dir", tmp_path, "--secure-port", "0", "--etcd-servers", etcd)
    assert etcd in said


def config_map(number: int, size: int) -> dict[str, Any]:
    return {"metadata": {"name": f"map-{number}"}, "data": {"x": f"{number} " + "x" * size}}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk")
def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """What is acknowledged stays, what isn't is refused, and space makes it work again."""
    server = APIServer(tmp_path / "server", [])
    subprocess.run(["mount", "--bind", small_disk, server.directory], check=True)
    try:
        server.start()
        kept: list[int] = []
        for number in range(1000):
            status, answer = server.ask("POST", MAPS, config_map(number, 200_000))
            if status != 201:
                break
            kept.append(number)
        assert kept
        assert (status, answer["kind"], answer["status"]) == (503, "Status", "Failure")
        assert "no space" in answer["message"]
        for _ in range(3):
            assert server.ask("POST", MAPS, config_map(number, 200_000))[0] == 503
        assert len(server.process.said("Writes fail")) == 1, "once per outage"
        present(server, kept)
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        until(lambda: server.ask("POST", MAPS, config_map(number, 200_000))[0] == 201, "room")
        present(server, [*kept, number])
        server.process.stop(signal.SIGKILL)
        server.start()
        present(server, [*kept, number])
    finally:
        server.process.stop(signal.SIGKILL)
        subprocess.run(["umount", "-l", server.directory], check=True)


def present(server: APIServer, numbers: list[int]) -> None:
    """All of them are there as they were written, and no others."""
    found = {item["metadata"]["name"]: item["data"]["x"] for item in server.ask("GET", MAPS)[1]["items"]}
    found.pop("kube-root-ca.crt", None)
    assert found == {made["metadata"]["name"]: made["data"]["x"] for made in (config_map(n, 200_000) for n in numbers)}
