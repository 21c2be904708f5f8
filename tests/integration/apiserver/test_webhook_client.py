"""Calling webhooks over real TLS: what reaches the server, and what is said when it doesn't."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kybern.apiserver.webhooks.client import CallFailed, Hooks
from kybern.apiserver.webhooks.credentials import Credentials
from kybern.apiserver.webhooks.services import ServiceResolver
from tests.integration.apiserver.inprocess import Api
from tests.integration.apiserver.outside import Authority, authority, listening, stand_in

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def echo(request: web.Request) -> web.Response:
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    body = await request.json()
    return web.json_response(
        {
            "asked": request.raw_path,
            "body": body,
            "token": request.headers.get("Authorization"),
            "who": certificate["subject"] if certificate else None,
            "from": request.transport.get_extra_info("peername")[1] if request.transport else 0,
        }
    )


def hooks(api: Api | None = None, credentials: Credentials | None = None) -> Hooks:
    registry: Any = api.app.registry if api else None
    return Hooks(ServiceResolver(registry, by_endpoints=True), credentials)


def config(port: int, path: str = "/check", **more: Any) -> dict[str, Any]:
    return {"url": f"https://127.0.0.1:{port}{path}", "caBundle": authority().bundle, **more}


async def failure(config: dict[str, Any], timeout: float = 5, found: Hooks | None = None) -> str:
    with pytest.raises(CallFailed) as caught:
        await (found or hooks()).hook(config).post({}, timeout=timeout)
    return str(caught.value)


async def test_a_url_is_called_and_its_connection_kept() -> None:
    async with listening(echo) as port:
        made = hooks()
        first, second = [await made.hook(config(port)).post({"n": n}, timeout=7) for n in (1, 2)]
        made.close()
    assert first["asked"] == "/check?timeout=7s" and first["body"] == {"n": 1} and first["token"] is None
    assert second["from"] == first["from"]


async def test_a_certificate_of_its_own_is_bundle_enough() -> None:
    certificate, key = Authority("hidden").issue("127.0.0.1")
    async with listening(echo, own=(certificate, key)) as port:
        made = hooks()
        trusted = {**config(port), "caBundle": base64.b64encode(certificate).decode()}
        assert (await made.hook(trusted).post({}, timeout=5))["asked"]
        made.close()


async def test_a_service_is_called_where_its_endpoints_are_under_its_own_name(api: Api) -> None:
    namespace = await api.ns()
    async with listening(echo, f"hook.{namespace}.svc") as port:
        await stand_in(api, "hook", namespace, 8443, port)
        where = {"service": {"name": "hook", "namespace": namespace, "port": 8443, "path": "/a"}}
        made = hooks(api)
        shown = await made.hook({**where, "caBundle": authority().bundle}).post({}, timeout=5)
        assert shown["asked"] == "/a?timeout=5s"
        made.close()
        text = await failure({**where, "caBundle": Authority("other").bundle}, found=hooks(api))
        base = f"https://hook.{namespace}.svc:8443/a?timeout=5s"
        unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        assert text == f'Post "{base}": {unknown}'
    asked = {"name": "hook", "namespace": namespace}
    assert 'no service port 443 found for service "hook"' in await failure({"service": asked}, found=hooks(api))
    assert 'service "none" not found' in await failure({"service": {**asked, "name": "none"}}, found=hooks(api))


async def test_a_webhook_that_cannot_be_reached_is_explained() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text, dial = await failure(config(port)), f"dial tcp 127.0.0.1:{port}"
    assert text == f'Post "https://127.0.0.1:{port}/check?timeout=5s": {dial}: connect: connection refused'


async def test_a_slow_webhook_is_left_at_its_timeout() -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(2)
        return web.json_response({})

    async with listening(slow) as port:
        assert (await failure(config(port), 0.1)).endswith("context deadline exceeded")


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (500, "boom", 'an error on the server ("boom") has prevented the request from succeeding'),
        (404, "", "the server could not find the requested resource"),
        (200, "x", "couldn't get version/kind; json parse error"),
        (302, "", "the server responded with the status code 302 but did not return more information"),
    ],
)
async def test_an_answer_that_is_none_is_explained(status: int, text: str, said: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers={"location": "https://127.0.0.1:1/"})

    async with listening(answer) as port:
        assert (await failure(config(port))).startswith(said)


async def test_the_kubeconfig_says_who_calls_whom(tmp_path: Path) -> None:
    clients = Authority("clients")
    certificate, key = (base64.b64encode(pem).decode() for pem in clients.issue("gate"))
    async with listening(echo, clients=clients.pem) as port, listening(echo) as other:
        users = [
            {"name": f"127.0.0.1:{port}", "user": {"client-certificate-data": certificate, "client-key-data": key}},
            {"name": "*", "user": {"token": "secret"}},
        ]
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps({"kind": "Config", "users": users}))
        made = hooks(credentials=Credentials(file))
        shown = await made.hook(config(port)).post({}, timeout=5)
        assert shown["who"] == [[["commonName", "gate"]]] and shown["token"] is None
        assert (await made.hook(config(other)).post({}, timeout=5))["token"] == "Bearer secret"
        made.close()
