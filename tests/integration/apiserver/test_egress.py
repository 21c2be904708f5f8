"""Connections that go by an egress proxy: a real one, over a unix socket, TCP and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from kybern.apiserver import egress
from kybern.apiserver.gates import GateOptions
from kybern.apiserver.kubelets import anybody
from kybern.apiserver.pools import Where
from kybern.process.daemon import OperatorError
from tests.integration.apiserver.inprocess import Api, serving
from tests.integration.apiserver.outside import authority, listening, server_tls, stand_in

HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
RULE = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}
TRANSPORTS = ["uds", "http", "https"]


class Proxy:
    """Passes on what it is asked to connect, and notes to where."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = b"200 OK"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        where = head.split(" ")[1]
        self.asked.append(where)
        writer.write(b"HTTP/1.1 " + self.answer + b"\r\nX-By: proxy\r\n\r\n")
        if self.answer.startswith(b"200"):
            host, _, port = where.rpartition(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        writer.close()

    @asynccontextmanager
    async def listening(self, transport: str, directory: Path) -> AsyncIterator[dict[str, Any]]:
        """Gives the `connection` of a selection that leads to it."""
        if transport == "uds":
            socket = directory / "proxy.sock"
            server: asyncio.Server = await asyncio.start_unix_server(self.serve, str(socket))
            way: dict[str, Any] = {"uds": {"udsName": str(socket)}}
        else:
            tls = server_tls("proxy.example.com") if transport == "https" else None
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
            way = {"tcp": {"url": f"{transport}://127.0.0.1:{server.sockets[0].getsockname()[1]}"}}
            if tls:
                (directory / "ca.crt").write_bytes(authority().pem)
                trust = {"caBundle": str(directory / "ca.crt"), "tlsServerName": "proxy.example.com"}
                way["tcp"]["tlsConfig"] = trust
        async with server:
            yield {"proxyProtocol": "HTTPConnect", "transport": way}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def ways(directory: Path, **connections: Any) -> egress.Ways:
    """Read from a file, as the command does."""
    selections = [{"name": name, "connection": connection} for name, connection in connections.items()]
    file = directory / "egress.yaml"
    head = {"apiVersion": "apiserver.k8s.io/v1beta1", "kind": "EgressSelectorConfiguration"}
    file.write_text(yaml.safe_dump({**head, "egressSelections": selections}))
    return egress.load(file)


@asynccontextmanager
async def judged(api: Api, client: dict[str, Any]) -> AsyncIterator[None]:
    """A webhook has to allow all config maps."""
    hook = {
        "name": "a.example.com", "clientConfig": {**client, "caBundle": authority().bundle}, "rules": [RULE],
        "sideEffects": "None", "admissionReviewVersions": ["v1"],
    }  # fmt: skip
    await api.ok("POST", HOOKS, {"metadata": {"name": "a"}, "webhooks": [hook]})
    try:
        yield
    finally:
        await api.ok("DELETE", f"{HOOKS}/a")


async def allow(request: web.Request) -> web.StreamResponse:
    review = json.loads(await request.read())
    return web.json_response({**review, "response": {"uid": review["request"]["uid"], "allowed": True}})


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_webhooks_are_called_by_way_of_the_proxy(tmp_path: Path, transport: str) -> None:
    proxy = Proxy()
    async with proxy.listening(transport, tmp_path) as connection, listening(allow) as port:
        options = GateOptions(egress=ways(tmp_path, controlplane=connection))
        async with serving(options) as api, judged(api, {"url": f"https://127.0.0.1:{port}/"}):
            path = await api.maps("")
            for name in ("a", "b"):
                await api.ok("POST", path, {"metadata": {"name": name}})
    assert proxy.asked == [f"127.0.0.1:{port}"], "connections are not kept"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_services_are_reached_by_way_of_the_clusters_proxy(tmp_path: Path, transport: str) -> None:
    proxy = Proxy()
    async with proxy.listening(transport, tmp_path) as connection, listening(allow, "hook.hooks.svc") as port:
        options = GateOptions(egress=ways(tmp_path, cluster=connection), enable_aggregator_routing=True)
        async with serving(options) as api:
            await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "hooks"}})
            await stand_in(api, "hook", "hooks", 443, port)
            async with judged(api, {"service": {"name": "hook", "namespace": "hooks"}}):
                await api.ok("POST", await api.maps(""), {"metadata": {"name": "a"}})
            # So is what clients are passed on to. (The hook makes nothing of a GET without a review.)
            there = Where(f"https://127.0.0.1:{port}/x", anybody())
            answer = await api.app.pools.ask("GET", there)
            assert answer.status == 500
            await answer.whole()
    assert set(proxy.asked) == {f"127.0.0.1:{port}"} and len(proxy.asked) == 2


async def test_what_the_proxy_refuses_is_told(tmp_path: Path) -> None:
    proxy = Proxy()
    proxy.answer = b"403 Forbidden"
    async with proxy.listening("uds", tmp_path) as connection, listening(allow) as port:
        options = GateOptions(egress=ways(tmp_path, controlplane=connection))
        async with serving(options) as api, judged(api, {"url": f"https://127.0.0.1:{port}/"}):
            said = await api.why(500, "POST", await api.maps(""), {"metadata": {"name": "a"}})
    assert "error from proxy while CONNECT 127.0.0.1" in said and "403 Forbidden" in said


@pytest.mark.parametrize(
    ("connections", "said"),
    [
        ({"moon": {"proxyProtocol": "Direct"}}, "egressSelections[0].name: Unsupported value"),
        ({"cluster": {"proxyProtocol": "GRPC"}}, 'proxyProtocol: Unsupported value: "GRPC"'),
        ({"cluster": {"proxyProtocol": "HTTPConnect"}}, "one of tcp and uds must be set"),
        ({"cluster": {"proxyProtocol": "Direct", "transport": {}}}, "should be absent for direct connect"),
        ({"etcd": {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": "/x"}}}}, "only reached directly"),
        ({"cluster": {"proxyProtocol": "HTTPConnect", "transport": {"tcp": {"url": "ftp://x"}}}}, "http or https"),
        ({"cluster": {"proxyProtocol": "HTTPConnect", "transport": {"tcp": {"url": "http://x", "tlsConfig": {}}}}},
         "should not be present when using HTTP"),
        ({"cluster": {"proxyProtocol": "HTTPConnect", "transport": {
            "tcp": {"url": "https://x", "tlsConfig": {"caBundle": "/none"}}}}}, "does not exist"),
        ({"cluster": 5}, "must be a map"),
    ],
)  # fmt: skip
def test_wrong_files(tmp_path: Path, connections: dict[str, Any], said: str) -> None:
    with pytest.raises(OperatorError) as caught:
        ways(tmp_path, **connections)
    assert said in str(caught.value)
