"""Client certificates and the front proxy's headers, over real TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kybern.apiserver import tls
from kybern.apiserver.app import App
from kybern.apiserver.authn.authorities import Authorities, verified_chain
from kybern.apiserver.authn.base import Known, authenticated
from kybern.apiserver.authn.bearer import Bearer
from kybern.apiserver.authn.requestheader import FrontProxy, FrontProxyOptions
from kybern.apiserver.authn.x509 import ClientCertificate
from kybern.apiserver.authz.base import AlwaysAllow
from kybern.apiserver.request import Request, Response, json_response
from kybern.apiserver.server import Server
from tests.unit.apiserver_gates.authority import Authority

HEADERS = [
    ("X-Remote-User", "alice"),
    ("X-Remote-Uid", "7"),
    ("X-Remote-Group", "cn=dev,dc=org"),
    ("X-Remote-Group", "ops"),
    ("X-Remote-Extra-Acme.com%2Fproject", "one"),
    ("X-Remote-Extra-Acme.com%2Fproject", "two"),
]
ALICE = {
    "name": "alice", "uid": "7", "groups": ["cn=dev,dc=org", "ops", "system:authenticated"],
    "extra": {"acme.com/project": ["one", "two"]},
}  # fmt: skip


async def show(_: App, request: Request) -> Response:
    user = request.user
    extra = {key: list(values) for key, values in user.extra.items() if not key.startswith("authentication.")}
    return json_response({"name": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra})


class OneToken:
    async def user(self, token: str, audiences: Any = ()) -> Known | None:
        return Known(authenticated("token-user")) if token == "good" else None


class Proxied:
    """A server that trusts two authorities, and what clients of it see."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clients, self.proxies = Authority(directory, "clients"), Authority(directory, "proxies")
        self.port = 0

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[Proxied]:
        app = App(None)  # type: ignore[arg-type]
        options = FrontProxyOptions(
            self.proxies.path, names, ["x-remote-user"], ["x-remote-uid"], ["x-remote-group"], ["x-remote-extra-"]
        )
        app.authenticators = [
            FrontProxy(options, Authorities("", self.proxies.path)),
            ClientCertificate(Authorities("", self.clients.path)),
            Bearer([OneToken()]),
        ]
        app.authorizers = [AlwaysAllow()]
        app.route("/who", show)
        server = Server(app)
        server.chain_of = verified_chain
        context = tls.server_context(*self.clients.issue("server"), self.clients.path, self.proxies.path)
        self.port = await server.start("127.0.0.1", 0, context)
        try:
            yield self
        finally:
            await server.close(0)

    async def ask(self, files: tuple[Path, Path] | None, headers: Any = HEADERS) -> tuple[int, Any]:
        connector = aiohttp.TCPConnector(ssl=self.clients.client_context(files))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"https://127.0.0.1:{self.port}/who", headers=headers) as answer,
        ):
            return answer.status, await answer.json()


async def test_a_front_proxy_says_who_asks(tmp_path: Path) -> None:
    async with Proxied(tmp_path).running("front") as server:
        assert await server.ask(server.proxies.issue("front")) == (200, ALICE)
        # The names of those who may be proxies.
        assert (await server.ask(server.proxies.issue("other")))[0] == 401


async def test_headers_of_others_do_not_count(tmp_path: Path) -> None:
    async with Proxied(tmp_path).running() as server:
        assert (await server.ask(None))[1]["name"] == "system:anonymous"
        status, user = await server.ask(server.clients.issue("bob", ["dev"], ["uid-1"]))
        assert (status, user) == (
            200,
            {"name": "bob", "uid": "uid-1", "groups": ["dev", "system:authenticated"], "extra": {}},
        )
        # A proxy that names nobody is nobody here: its authority isn't that of clients.
        assert (await server.ask(server.proxies.issue("front"), []))[0] == 401
        assert (await server.ask(server.proxies.issue("front")))[1]["name"] == "alice"


async def test_a_good_token_counts_beside_a_certificate_that_does_not(tmp_path: Path) -> None:
    async with Proxied(tmp_path).running() as server:
        files = server.proxies.issue("front")
        assert (await server.ask(files, {"Authorization": "Bearer good"}))[1]["name"] == "token-user"
        assert (await server.ask(files, {"Authorization": "Bearer bad"}))[0] == 401


async def test_two_uids_in_a_certificate_are_refused(tmp_path: Path) -> None:
    async with Proxied(tmp_path).running() as server:
        assert (await server.ask(server.clients.issue("bob", [], ["1", "2"])))[0] == 401


@pytest.mark.parametrize(
    ("protocols", "user"),
    [
        ("base64url.bearer.authorization.k8s.io.Z29vZA, v5.channel.k8s.io", "token-user"),
        ("base64url.bearer.authorization.k8s.io.Z29vZA", None),
        ("base64url.bearer.authorization.k8s.io.Z29vZA, base64url.bearer.authorization.k8s.io.Z29vZA, x", None),
        ("base64url.bearer.authorization.k8s.io.@, x", None),
        ("base64url.bearer.authorization.k8s.io.YmFk, x", None),
        ("v5.channel.k8s.io", "system:anonymous"),
    ],
)
async def test_tokens_in_websocket_protocols(protocols: str, user: str | None, tmp_path: Path) -> None:
    app = App(None, authenticators=[Bearer([OneToken()])], authorizers=[AlwaysAllow()])  # type: ignore[arg-type]
    app.route("/who", show)
    answer = await app.handle(Request("GET", "/who", headers={"sec-websocket-protocol": protocols}))
    assert answer.status == (200 if user else 401)
    if user:
        assert isinstance(answer.body, bytes) and user.encode() in answer.body
