"""Servers behind the API server: a small one of our own, and another of kybern's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kybern.apiserver.server import Server
from tests.integration.apiserver.inprocess import MERGE, Api, serving
from tests.integration.apiserver.outside import authority, listening, stand_in

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def until(check: Callable[[], Any], what: str) -> Any:
    for _ in range(500):
        found = check()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"waited in vain: {what}")


class Extension:
    """Serves `flavours` of a group, v1, as little as a server must."""

    def __init__(self, group: str) -> None:
        self.group, self.well, self.namespace = group, True, ""
        self.seen: list[web.Request] = []
        self.connections: set[Any] = set()
        self.ended = 0
        """How many watches are over."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        root = f"/apis/{self.group}/v1"
        if not self.well:
            return web.Response(status=500)
        if request.path == "/openapi/v2":
            paths = {f"{root}/flavours": {"get": {}}, "/apis/other": {}}
            said = {"$ref": "#/definitions/example.Flavour"}
            found = {"example.Flavour": {"type": "object"}, "example.Unused": {}}
            return web.json_response({"paths": {**paths, f"{root}/x": {"schema": said}}, "definitions": found})
        if request.path == "/openapi/v3":
            return web.json_response({"paths": {root[1:]: {"serverRelativeURL": f"/openapi/v3{root}?hash=1"}}})
        if request.path == root:
            entry = {"name": "flavours", "singularName": "flavour", "kind": "Flavour", "verbs": ["get"]}
            listed = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{self.group}/v1"}
            return web.json_response({**listed, "resources": [{**entry, "namespaced": True}]})
        if not request.path.startswith(root) and not request.path.startswith("/openapi/v3/"):
            return web.Response(status=404)
        self.seen.append(request)
        self.connections.add(request.transport)
        if request.query.get("watch"):
            return await self._watch(request)
        if request.headers.get("upgrade") == "websocket":
            return await self._echo(request)
        if request.path.endswith("/moved"):
            raise web.HTTPFound("https://elsewhere.example.com/")
        if request.path.endswith("/nothing"):
            return web.Response(status=204)
        if request.path.endswith("/taken"):
            size = sum([len(piece) async for piece in request.content.iter_any()])
            return web.json_response({"size": size, "length": request.headers.get("content-length")})
        body = await request.read()
        return web.json_response({"asked": f"{request.method} {request.path_qs}", "body": body.decode()}, status=202)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for number in range(int(request.query.get("events", 3))):
                await response.write(json.dumps({"type": "ADDED", "object": {"n": number}}).encode() + b"\n")
                await asyncio.sleep(0.05)
        finally:
            self.ended += 1
        return response

    async def _echo(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"echo {message.data}")
        return socket


def service(group: str, port: int = 443, **spec: Any) -> dict[str, Any]:
    where = {"namespace": "default", "name": "ext", "port": port}
    made = {"group": group, "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 10, "service": where}
    made["caBundle"] = authority().bundle
    return {"metadata": {"name": f"v1.{group}"}, "spec": {**made, **spec}}


async def condition(api: Api, group: str) -> tuple[str, str, str]:
    found = await api.ok("GET", f"{SERVICES}/v1.{group}")
    for one in found.get("status", {}).get("conditions", []):
        return one["status"], one["reason"], one["message"]
    return "", "", ""


@asynccontextmanager
async def extended(api: Api, group: str, **spec: Any) -> AsyncIterator[Extension]:
    """An extension server, in place as an API service."""
    made = Extension(group)
    namespace = made.namespace = await api.ns()
    async with listening(made.answer, f"ext.{namespace}.svc") as port:
        external = {"metadata": {"name": "ext"}, "spec": {"type": "ExternalName", "externalName": "localhost"}}
        await api.ok("POST", f"/api/v1/namespaces/{namespace}/services", external)
        where = {"namespace": namespace, "name": "ext", "port": port}
        await api.ok("POST", SERVICES, service(group, service=where, **spec))

        async def available() -> bool:
            return (await condition(api, group))[0] == "True"

        await until(available, "the API service is available")
        try:
            yield made
        finally:
            await api.ok("DELETE", f"{SERVICES}/v1.{group}")


async def test_a_request_goes_through_in_the_name_of_who_asks(api: Api) -> None:
    async with extended(api, "ask.example.com") as behind:
        path = "/apis/ask.example.com/v1/namespaces/n/flavours"
        more = {"who": "bob:g1;g2;system:masters", "x_remote_user": "eve", "x_remote_extra_a": "b"}
        status, answer = await api.ask("POST", f"{path}?dryRun=All", {"a": 1}, impersonate_user="", **more)
        assert status == 202 and answer == {"asked": f"POST {path}?dryRun=All", "body": '{"a": 1}'}
        headers = behind.seen[-1].headers
        assert headers.getall("X-Remote-User") == ["bob"] and "X-Remote-Extra-A" not in headers
        assert headers.getall("X-Remote-Group") == ["g1", "g2", "system:masters", "system:authenticated"]
        assert "Authorization" not in headers
        await api.why(403, "GET", path, who="nobody")
        status, text = await api.ask("GET", f"{path}/moved")
        assert status == 502 and "attempted to redirect" in text
    assert (await api.ask("GET", path))[0] == 404


@asynccontextmanager
async def through_a_listener(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the server's port; paths are relative to it."""
    listener = Server(api.app)
    port = await listener.start("127.0.0.1", 0, None)
    headers = {"Authorization": "Bearer test admin:system:masters"}
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
            yield session
    finally:
        await listener.close(0.1)


async def test_connections_are_kept_for_the_next_request(api: Api) -> None:
    path = "/apis/keep.example.com/v1/flavours"
    async with extended(api, "keep.example.com") as behind, through_a_listener(api) as client:
        for verb, more, status in (("GET", "", 202), ("HEAD", "", 202), ("DELETE", "/nothing", 204), ("GET", "", 202)):
            async with client.request(verb, f"{path}{more}") as response:
                assert response.status == status and bool(await response.read()) is (verb == "GET")
        for more in ("/moved", ""):
            await api.ask("GET", path + more)
        assert len(behind.connections) == 1
        for connection in behind.connections:
            connection.abort()
        await asyncio.sleep(0.05)
        assert (await api.ask("POST", path, {}))[0] == 202
        assert len(behind.connections) == 2


@pytest.mark.parametrize("announced", [True, False])
async def test_bodies_of_any_length_go_through(api: Api, announced: bool) -> None:
    """And the connection is good for another request after that."""
    size = 5 << 20

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size >> 16):
            yield b"x" * (1 << 16)

    body = b"x" * size if announced else pieces()
    async with extended(api, "large.example.com") as behind, through_a_listener(api) as client:
        path = "/apis/large.example.com/v1/flavours/taken"
        async with client.post(path, data=body, expect100=True) as response:
            assert await response.json() == {"size": size, "length": str(size) if announced else None}
            assert response.headers.get("connection") is None
        assert "expect" not in behind.seen[-1].headers
        async with client.post(path, data=b"abc") as response:
            assert await response.json() == {"size": 3, "length": "3"}
        assert len(behind.connections) == 1


async def test_a_watch_comes_as_it_is_written(api: Api) -> None:
    async with extended(api, "watch.example.com"):
        response = await api.respond("GET", "/apis/watch.example.com/v1/flavours?watch=1")
        assert response.status == 200 and not isinstance(response.body, bytes)
        pieces = [piece async for piece in response.body]
        numbers = [json.loads(line)["object"]["n"] for line in b"".join(pieces).splitlines()]
        assert len(pieces) >= 3 and numbers == [0, 1, 2]


async def test_a_watch_whose_client_goes_ends_behind_too(api: Api) -> None:
    async with extended(api, "leave.example.com") as behind:
        listener = Server(api.app)
        port = await listener.start("127.0.0.1", 0, None)
        url = f"http://127.0.0.1:{port}/apis/leave.example.com/v1/flavours?watch=1&events=100000"
        headers = {"Authorization": "Bearer test admin:system:masters"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            assert json.loads(await response.content.readline())["object"] == {"n": 0}
            assert behind.ended == 0
        await until(lambda: behind.ended == 1, "the watch behind has ended")
        await listener.close(0.1)


async def test_an_upgrade_joins_both_ends(api: Api) -> None:
    async with extended(api, "upgrade.example.com") as behind:
        listener = Server(api.app)
        port = await listener.start("127.0.0.1", 0, None)
        url = f"http://127.0.0.1:{port}/apis/upgrade.example.com/v1/flavours/x/taste"
        headers = {"Authorization": "Bearer test admin:system:masters"}
        async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as socket:
            for word in ("sweet", "sour"):
                await socket.send_str(word)
                assert (await socket.receive()).data == f"echo {word}"
        assert behind.seen[-1].headers["X-Remote-User"] == "admin"
        await listener.close(0.1)


async def test_discovery_and_openapi_are_one(api: Api) -> None:
    group = "merge.example.com"
    async with extended(api, group):
        await until(lambda: _described(api, group, "Current"), "discovery has the group")
        legacy = await api.ok("GET", "/apis")
        names = [item["name"] for item in legacy["groups"]]
        assert group in names and names.index("discovery.k8s.io") < names.index(group)
        found = await api.ok("GET", f"/apis/{group}")
        assert found["preferredVersion"] == {"groupVersion": f"{group}/v1", "version": "v1"}
        assert (await api.ok("GET", f"/apis/{group}/v1"))["resources"][0]["name"] == "flavours"

        async def described() -> bool:
            return f"apis/{group}/v1" in (await api.ok("GET", "/openapi/v3"))["paths"]

        await until(described, "OpenAPI v3 has the group")
        status, answer = await api.ask("GET", f"/openapi/v3/apis/{group}/v1?hash=1")
        assert status == 202 and answer["asked"] == f"GET /openapi/v3/apis/{group}/v1?hash=1"

        async def whole() -> Any:
            document = await api.ok("GET", "/openapi/v2")
            return document if f"/apis/{group}/v1/flavours" in document["paths"] else None

        document = await until(whole, "OpenAPI v2 has the paths")
        assert "example.Flavour" in document["definitions"] and "example.Unused" not in document["definitions"]
        assert "/apis/other" not in document["paths"] and "/api/v1/pods" in document["paths"]
    assert group not in [item["name"] for item in (await api.ok("GET", "/apis"))["groups"]]


async def test_what_is_wrong_is_said_in_the_condition(api: Api) -> None:
    group = "ill.example.com"
    await api.ok("POST", SERVICES, service(group))

    async def says(*wanted: str) -> None:
        async def check() -> bool:
            return (await condition(api, group))[: len(wanted)] == wanted

        try:
            await until(check, f"{wanted}")
        except AssertionError:
            raise AssertionError(await condition(api, group)) from None

    await says("False", "ServiceNotFound", 'service/ext in "default" is not present')
    status, text = await api.ask("GET", f"/apis/{group}/v1/flavours")
    assert (status, text) == (503, "service unavailable\n")
    made = {"metadata": {"name": "ext"}, "spec": {"ports": [{"port": 80, "name": "http"}]}}
    await api.ok("POST", "/api/v1/namespaces/default/services", made)
    await says("False", "ServicePortError", 'service/ext in "default" is not listening on port 443')
    ports = {"spec": {"ports": [{"port": 443, "name": "https"}]}}
    await api.ok("PATCH", "/api/v1/namespaces/default/services/ext", ports, kind=MERGE)
    await says("False", "EndpointsNotFound", 'cannot find endpointslices for service/ext in "default"')
    await api.ok("DELETE", "/api/v1/namespaces/default/services/ext")
    await stand_in(api, "ext", "default", 443, 9)
    local = {"spec": {"service": None, "caBundle": None}}
    await api.ok("PATCH", f"{SERVICES}/v1.{group}", local, kind=MERGE)
    await says("True", "Local", "Local APIServices are always available")
    assert (await api.ask("GET", f"/apis/{group}/v1/flavours"))[0] == 404
    page = api.app.telemetry.page().decode()
    assert f'aggregator_unavailable_apiservice{{name="v1.{group}"}} 0.0' in page, "what is served here is in reach"


async def test_a_server_that_stops_answering_is_stale_and_unavailable(api: Api) -> None:
    group = "gone.example.com"
    async with extended(api, group) as behind:
        await until(lambda: _described(api, group, "Current"), "what it serves is known")
        behind.well = False
        external = {"metadata": {"annotations": {"changed": "yes"}}}
        await api.ok("PATCH", f"/api/v1/namespaces/{behind.namespace}/services/ext", external, kind=MERGE)

        async def failed() -> bool:
            return (await condition(api, group))[1] == "FailedDiscoveryCheck"

        await until(failed, "the failure is noticed")
        assert (await condition(api, group))[2].endswith(": 500")
        assert (await api.ask("GET", f"/apis/{group}/v1/flavours"))[0] == 503
        await until(lambda: _described(api, group, "Stale"), "discovery says that it is stale")
        behind.well = True

        async def again() -> bool:
            return (await condition(api, group))[0] == "True"

        await until(again, "it is found well again")


async def _described(api: Api, group: str, freshness: str) -> bool:
    items = (await api.ok("GET", "/apis", accept=AGGREGATED))["items"]
    versions = [item["versions"][0] for item in items if item["metadata"]["name"] == group]
    return bool(versions) and versions[0]["freshness"] == freshness and bool(versions[0]["resources"])


async def test_what_is_served_here_has_api_services_too(api: Api) -> None:
    async def listed() -> dict[str, Any]:
        return {item["metadata"]["name"]: item for item in (await api.ok("GET", SERVICES))["items"]}

    async def all_there() -> bool:
        return {"v1.", "v1.apps", "v2.autoscaling", "v1.apiregistration.k8s.io"} <= set(await listed())

    await until(all_there, "those of built-in kinds are there")
    found = await listed()
    assert found["v2.autoscaling"]["spec"] == {
        "group": "autoscaling", "version": "v2", "groupPriorityMinimum": 17500, "versionPriority": 30
    }  # fmt: skip
    assert found["v1."]["metadata"]["labels"] == {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    assert found["v1."]["status"]["conditions"][0]["reason"] == "Local"
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": "auto.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await api.ok("POST", crds, {"metadata": {"name": "things.auto.example.com"}, "spec": spec})

    async def custom() -> Any:
        return (await listed()).get("v1.auto.example.com")

    made = await until(custom, "that of the custom kind is there")
    assert (made["spec"]["groupPriorityMinimum"], made["spec"]["versionPriority"]) == (1000, 100)
    await api.ok("DELETE", f"{SERVICES}/v1.auto.example.com")
    await until(custom, "it is made anew")
    await api.ok("DELETE", f"{crds}/things.auto.example.com")

    async def gone() -> bool:
        return await custom() is None

    await until(gone, "it goes with its definition")


async def test_what_is_served_no_more_has_none_after_a_start() -> None:
    labels = {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
    old = {"metadata": {"name": "v1.old.example.com", "labels": labels}, "spec": service("old.example.com")["spec"]}
    del old["spec"]["service"], old["spec"]["caBundle"]
    mine = {**old, "metadata": {"name": "v1.mine.example.com"}, "spec": {**old["spec"], "group": "mine.example.com"}}
    async with serving() as first:
        for one in (old, mine):
            await first.ok("POST", SERVICES, one)
        async with serving(beside=first) as second:

            async def gone() -> bool:
                return (await second.ask("GET", f"{SERVICES}/v1.old.example.com"))[0] == 404

            await until(gone, "it is gone")
            await second.ok("GET", f"{SERVICES}/v1.mine.example.com")
