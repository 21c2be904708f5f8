"""What health checks answer, over HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from kybern.process.daemon import OperatorError
from kybern.proxy.healthcheck import TO_BE_DELETED_TAINT, Health, ServiceHealth, metrics_answer, serve


async def get(port: int, path: str) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body) if "application/json" in head else body


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_healthz_is_well_once_rules_are_in_force() -> None:
    health = Health()
    server = await serve("127.0.0.1", 0, health.answer)
    assert (await get(server.port, "/healthz"))[0] == 503
    assert (await get(server.port, "/livez"))[0] == 200
    health.updated()
    status, said = await get(server.port, "/healthz")
    assert status == 200
    assert said["nodeEligible"] is True
    assert said["lastUpdated"] == said["currentTime"]
    assert (await get(server.port, "/else"))[0] == 404
    await server.close()


async def test_a_change_that_waits_too_long_makes_it_unwell() -> None:
    health = Health(patience=0.0)
    health.updated()
    assert (await health.answer("/livez"))[0] == 200
    health.queued()
    assert (await health.answer("/livez"))[0] == 503
    assert (await health.answer("/healthz"))[0] == 503
    health.updated(more=True)
    assert not health.keeps_up
    health.updated()
    assert health.keeps_up


async def test_a_node_about_to_go_is_not_eligible_but_alive() -> None:
    health = Health()
    health.updated()
    health.see_node({"metadata": {}, "spec": {"taints": [{"key": TO_BE_DELETED_TAINT}]}})
    assert (await health.answer("/healthz"))[0] == 503
    assert (await health.answer("/livez"))[0] == 200
    health.see_node({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}})
    assert not health.node_eligible
    health.see_node({"metadata": {}, "spec": {}})
    assert health.node_eligible


async def test_a_service_is_well_where_it_has_endpoints() -> None:
    health, port = Health(), free_port()
    checks = ServiceHealth("127.0.0.1", health)
    await checks.sync({("ns", "web"): port}, {("ns", "web"): 2})
    said = {"service": {"namespace": "ns", "name": "web"}, "localEndpoints": 2, "serviceProxyHealthy": True}
    assert await get(port, "/") == (200, said)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert b"\r\nX-Load-Balancing-Endpoint-Weight: 2\r\n" in await reader.read()
    writer.close()
    await checks.sync({("ns", "web"): port}, {("ns", "web"): 0})
    assert (await get(port, "/"))[0] == 503
    other = free_port()
    await checks.sync({("ns", "web"): other}, {("ns", "web"): 1})
    assert (await get(other, "/"))[0] == 200
    with pytest.raises(OSError):
        await get(port, "/")
    await checks.close()


async def test_a_port_in_use_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    checks = ServiceHealth("127.0.0.1", Health())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        await checks.sync({("ns", "web"): port}, {("ns", "web"): 1})
        assert "ns/web" in caplog.text
    await checks.sync({("ns", "web"): port}, {("ns", "web"): 1})
    assert (await get(port, "/"))[0] == 200
    await checks.close()


async def test_an_address_that_cant_be_had_is_the_operators() -> None:
    server = await serve("127.0.0.1", 0, metrics_answer)
    with pytest.raises(OperatorError, match="can't listen"):
        await serve("127.0.0.1", server.port, metrics_answer)
    assert await get(server.port, "/proxyMode") == (200, "nftables")
    assert "kubeproxy_proxy_healthz" in (await get(server.port, "/metrics"))[1]
    await server.close()
