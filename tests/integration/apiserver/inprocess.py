"""An API server without sockets, controllers or kubelets: requests go straight to the App, as whom a test likes."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any
from urllib.parse import quote, unquote

from kybern.api.scheme import builtin
from kybern.apiserver import health
from kybern.apiserver.app import App
from kybern.apiserver.gates import GateOptions, Gates
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import Frame, Request, Response, Stream, UserInfo
from kybern.apiserver.runtime_config import apply
from kybern.store.memory import MemoryStore
from tests.gates import switched

JSON = "application/json"
MERGE = "application/merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
ADMIN = "admin:system:masters"


class NamedUsers:
    """Takes `Bearer test name:group;group` at its word; `node-...` is that node's kubelet."""

    async def authenticate(self, request: Request) -> UserInfo | None:
        scheme, _, credential = request.headers.get("authorization", "").partition(" test ")
        if scheme != "Bearer":
            return None
        name, _, groups = credential.partition(":")
        if name.startswith("node-"):
            return UserInfo(f"system:node:{name}", ("system:nodes", "system:authenticated"))
        return UserInfo(name, (*filter(None, groups.split(";")), "system:authenticated"))


class Watched:
    """A watch's client: `events` are what it was told; it may be `congested`. Once `done`, nothing more comes."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.events: list[Any] = []
        self.congested = False
        self.done = asyncio.Event()

    def write(self, frame: Frame) -> None:
        self.events += [json.loads(line) for line in frame.data.splitlines()]

    def finish(self) -> None:
        self.done.set()

    def take(self) -> list[Any]:
        """What came since the last time."""
        taken, self.events = self.events, []
        return taken

    def brief(self) -> list[tuple[str, str]]:
        """Type and name of what came since the last time."""
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in self.take()]


class Api:
    """The server, asked by path. `ns` gives a fresh namespace each time."""

    def __init__(self, app: App, store: MemoryStore) -> None:
        self.app, self.store = app, store
        self._numbers = itertools.count(1)

    async def respond(
        self, method: str, target: str, body: Any = None, *, who: str = ADMIN, kind: str = JSON, **headers: str
    ) -> Response:
        path, _, query = target.partition("?")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"authorization": f"Bearer test {who}"} if who else {}
        data = b"" if body is None else json.dumps(body).encode()
        if data:
            sent["content-type"] = kind
        return await self.app.handle(Request(method, unquote(path), query, sent, data))

    async def ask(self, method: str, target: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        """Status and decoded answer (text where it isn't JSON)."""
        response = await self.respond(method, target, body, **more)
        content = response.body
        if not isinstance(content, bytes):
            content = b"".join([piece async for piece in content])
        is_json = JSON in dict(response.headers).get("content-type", "")
        return response.status, json.loads(content) if is_json else content.decode()

    async def ok(self, method: str, target: str, body: Any = None, **more: Any) -> Any:
        status, answer = await self.ask(method, target, body, **more)
        assert 200 <= status < 300, answer
        return answer

    async def refused(self, code: int, method: str, target: str, body: Any = None, **more: Any) -> Any:
        """The Status of a request that must fail with this code."""
        status, answer = await self.ask(method, target, body, **more)
        assert status == code, answer
        assert answer["kind"] == "Status" and answer["status"] == "Failure" and answer["code"] == code
        return answer

    async def why(self, code: int, method: str, target: str, body: Any = None, **more: Any) -> str:
        """The message of a request that must fail with this code."""
        return str((await self.refused(code, method, target, body, **more))["message"])

    async def until(self, target: str) -> Any:
        """The object, once this server's cache has it."""
        async with asyncio.timeout(10):
            while (found := await self.ask("GET", target))[0] == 404:
                await asyncio.sleep(0.01)
        return found[1]

    async def ns(self) -> str:
        """A new namespace's name; paths below it are `/api/v1/namespaces/<it>`."""
        name = f"ns-{next(self._numbers):03}"
        await self.ok("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    async def maps(self, names: str, **fields: Any) -> str:
        """A new namespace's ConfigMaps of these names; gives their path."""
        path = f"/api/v1/namespaces/{await self.ns()}/configmaps"
        for name in names.split():
            await self.ok("POST", path, {"metadata": {"name": name, "labels": {"l": name}}, **fields})
        return path

    @asynccontextmanager
    async def watch(self, target: str, **more: Any) -> AsyncIterator[Watched]:
        """A watch of a collection, with `watch=1` added."""
        response = await self.respond("GET", f"{target}{'&' if '?' in target else '?'}watch=1", **more)
        assert isinstance(response, Stream), response.body
        with _open(response) as watched:
            yield watched


@contextmanager
def _open(stream: Stream) -> Iterator[Watched]:
    watched = Watched(stream)
    stream.start(watched)
    try:
        yield watched
    finally:
        stream.closed()


def query(**values: Any) -> str:
    """A query string, escaped."""
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in values.items())


@asynccontextmanager
async def serving(
    options: GateOptions | None = None, beside: Api | None = None, **runtime_config: str
) -> AsyncIterator[Api]:
    """A server with what every cluster has from its first moment; `**{"api/all": "true"}` serves beta and alpha too,
    and has all feature gates on.
    `beside`: another server, whose store it is to share."""
    store = beside.store if beside else MemoryStore()
    with switched(AllAlpha=True, AllBeta=True) if runtime_config else nullcontext():
        app = App(Registry(apply(builtin(), runtime_config), store))
        health.add_routes(app)
        app.authenticators.append(NamedUsers())
        gates = Gates(app, options or GateOptions(enable_admission_plugins=("NodeRestriction",)))
        await gates.start()
        try:
            yield Api(app, store)
        finally:
            await gates.stop()
            await app.registry.close()
            if beside is None:
                await store.close()
