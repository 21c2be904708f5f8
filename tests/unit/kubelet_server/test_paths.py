"""What the kubelet answers on each path."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import ssl
import subprocess
from pathlib import Path

import orjson
import pytest

from kybern.streaming import http1
from tests.unit.kubelet_server.conftest import Node, Starter


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/containerLogs/default/p/c", 200, "one\ntwo\n"),
        ("/containerLogs/default/p/c?tailLines=1&timestamps=true", 200, "2026-01-31T12:00:01.000000000Z two\n"),
        ("/containerLogs/default/p/c?stream=Stdout", 200, "one\n"),
        ("/containerLogs/default/p/c?tailLines=x", 400, '{"message": "Unable to decode query."}'),
        ("/containerLogs/default/p/c?previous=1", 400, 'previous terminated container "c" in pod "p" not found'),
        ("/containerLogs/default/p/late", 400,
         'container "late" in pod "p" is waiting to start: ContainerCreating'),
        ("/containerLogs/default/p/x", 404, 'container "x" not found in pod "p"\n'),
        ("/containerLogs/default/x/c", 404, 'pod "x" does not exist\n'),
        ("/containerLogs/default/p", 404, "404 page not found\n"),
        ("/exec/default/x/c?command=a&output=1", 404, "pod does not exist"),
        ("/exec/default/p/other/c?command=a&output=1", 404, "pod does not exist"),
        ("/exec/default/p/late?command=a&output=1", 500, 'container not found ("late")'),
        ("/exec/default/p/c?command=a", 400, "you must specify at least 1 of stdin, stdout, stderr"),
        ("/exec/default/p/c?command=a&output=1", 400, "Upgrade request required: to SPDY/3.1, or to websocket"),
        ("/portForward/default/x", 404, "pod does not exist"),
        ("/portForward/default/p", 400, "Upgrade request required: to SPDY/3.1, or to websocket"),
        ("/healthz", 200, "ok"),
        ("/healthz/ping", 200, "ok"),
        ("/healthz/log", 200, "ok"),
        ("/healthz/syncloop", 200, "ok"),
        ("/logs/", 405, "logs endpoint is disabled."),
        ("/checkpoint/default/p/c", 404, "404 page not found\n"),
        ("/", 404, "404 page not found\n"),
    ],
)  # fmt: skip
async def test_answers(node: Node, path: str, status: int, text: str) -> None:
    assert await node.ask(path) == (status, text.encode())


async def test_an_ill_kubelet_says_so(node: Node) -> None:
    node.kubelet.wrong = "the runtime is silent"
    status, body = await node.ask("/healthz")
    assert status == 500
    assert b"[-]syncloop failed: the runtime is silent" in body
    assert await node.ask("/healthz/ping") == (200, b"ok")


async def test_a_log_whose_file_is_gone(node: Node, log_file: Path) -> None:
    log_file.unlink()
    status, body = await node.ask("/containerLogs/default/p/c")
    assert status == 400
    assert body.endswith(b"0.log: no such file or directory")


async def test_pods_have_their_newest_status(node: Node) -> None:
    _, body = await node.ask("/pods")
    listed = orjson.loads(body)
    assert listed["kind"] == "PodList"
    assert [(pod["metadata"]["uid"], pod["status"]["phase"]) for pod in listed["items"]] == [("u1", "Running")]


async def test_running_pods_are_what_the_runtime_has(node: Node) -> None:
    _, body = await node.ask("/runningpods/")
    (pod,) = orjson.loads(body)["items"]
    assert pod["metadata"] == {"name": "p", "namespace": "default", "uid": "u1"}
    assert [c["name"] for c in pod["spec"]["containers"]] == ["c"]


async def test_the_configuration_is_upstreams_kind(node: Node) -> None:
    status, body = await node.ask("/statusz")
    assert status == 200 and body.startswith(b"kubelet statusz\n")
    status, body = await node.ask("/flagz")
    assert status == 200 and body.startswith(b"kubelet flags\n")
    _, body = await node.ask("/configz")
    config = orjson.loads(body)["kubeletconfig"]
    assert (config["kind"], config["maxPods"], config["syncFrequency"]) == ("KubeletConfiguration", 110, "1m0s")


async def test_metrics_are_the_processes(node: Node) -> None:
    status, body = await node.ask("/metrics")
    assert status == 200
    assert b"python_info" in body


async def test_methods_that_are_not_allowed(node: Node) -> None:
    assert (await node.ask("/pods", "DELETE"))[0] == 405
    assert (await node.ask("/containerLogs/default/p/c", "POST"))[0] == 405


async def test_debugging_may_be_switched_off(start: Starter) -> None:
    node = await start(enable_debugging=False)
    assert await node.ask("/containerLogs/default/p/c") == (405, b"Debug endpoints are disabled.")
    assert (await node.ask("/pods"))[0] == 200


async def test_a_followed_log_ends_with_its_container(node: Node, log_file: Path) -> None:
    answer = await http1.send(f"{node.url}/containerLogs/default/p/c?follow=true", ssl=node.tls)
    assert answer.header("transfer-encoding") == "chunked"
    body = http1.body_of(answer)
    assert await anext(body) == b"one\ntwo\n"
    with log_file.open("ab") as file:
        file.write(b"2026-01-31T12:00:02Z stdout F three\n")
    assert await anext(body) == b"three\n"
    state = node.kubelet.host.cache.pods["u1"]
    state.containers[0] = dataclasses.replace(state.containers[0], phase="exited")
    assert [piece async for piece in body] == []


async def test_a_follower_who_leaves_ends_the_reading(node: Node, log_file: Path) -> None:
    answer = await http1.send(f"{node.url}/containerLogs/default/p/c?follow=true", ssl=node.tls)
    assert await anext(http1.body_of(answer)) == b"one\ntwo\n"

    def opened() -> bool:
        return any(link.resolve() == log_file for link in Path("/proc/self/fd").iterdir() if link.is_symlink())

    assert opened()
    answer.writer.close()
    async with asyncio.timeout(10):
        while opened():
            await asyncio.sleep(0.01)


async def test_requests_of_one_connection_are_answered_in_order(node: Node) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.server.port, ssl=node.tls)
    paths = ("/healthz/ping", "/containerLogs/default/p/c", "/nowhere")
    writer.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: n\r\n\r\n".encode() for path in paths[:2]))
    writer.write(f"GET {paths[2]} HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n".encode())
    said = await reader.read()
    writer.close()
    assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"200", b"200", b"404"]
    assert b"8\r\none\ntwo\n\r\n0\r\n\r\n" in said


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"nonsense\r\n\r\n", b"400"), (b"GET / HTTP/1.1\r\nA: " + b"x" * 70000 + b"\r\n\r\n", b"431")],
)
async def test_what_is_no_request_is_refused(node: Node, sent: bytes, status: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.server.port, ssl=node.tls)
    writer.write(sent)
    assert (await reader.readline()).split()[1] == status
    writer.close()


async def test_curl_reads_it(node: Node) -> None:
    command = ["curl", "-sk", f"{node.url}/containerLogs/default/p/c"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    assert done.stdout == b"one\ntwo\n"


async def test_its_own_certificate_is_kept(start: Starter) -> None:
    first, second = await start(node_ips=("10.1.2.3",)), await start()
    pems = [
        await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", node.server.port)) for node in (first, second)
    ]
    assert pems[0] == pems[1]
    second.tls.load_verify_locations(cadata=pems[0])
    second.tls.verify_mode, second.tls.check_hostname = ssl.CERT_REQUIRED, True
    assert await second.ask("/healthz") == (200, b"ok")


async def test_health_in_plain(start: Starter) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    await start(healthz_port=port)
    answer = await http1.send(f"http://127.0.0.1:{port}/healthz")
    assert (answer.status, await http1.whole_body(answer)) == (200, b"ok")
