"""An API server of a few lines, as an ASGI app: one resource, scripted watches, a record of what was asked."""

import asyncio
from collections.abc import Callable
from urllib.parse import parse_qs

import orjson

from kybern.api.errors import APIError, Conflict, NotFound


class FakeAPI:
    """Objects of one resource by name. Each watch runs the next script: a list of events, "hang" or "end"."""

    def __init__(self) -> None:
        self.objects: dict[str, dict] = {}
        self.version = 1
        self.scripts: list[list] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[dict] = []
        self.before: Callable[[str, str], None] = lambda method, path: None

    def put(self, name: str, **fields) -> dict:
        self.version += 1
        obj = {"metadata": {"name": name, "resourceVersion": str(self.version)}, **fields}
        self.objects[name] = obj
        return obj

    async def __call__(self, scope, receive, send) -> None:
        query = {k: v[0] for k, v in parse_qs(scope["query_string"].decode()).items()}
        self.requests.append((scope["method"], scope["path"], query))
        body = (await receive())["body"]
        if body:
            self.bodies.append(orjson.loads(body))
        try:
            self.before(scope["method"], scope["path"])
            if "watch" in query:
                await self._watch(send)
                return
            answer = self._answer(scope["method"], scope["path"], body)
            code = 200
        except APIError as error:
            answer, code = error.status(), error.code
        await send({"type": "http.response.start", "status": code, "headers": []})
        await send({"type": "http.response.body", "body": orjson.dumps(answer)})

    def _answer(self, method: str, path: str, body: bytes) -> dict:
        name = path.rsplit("/", 1)[1]
        if method == "POST":
            obj = orjson.loads(body)
            return self.put(obj["metadata"]["name"], **{k: v for k, v in obj.items() if k != "metadata"})
        if name == "things":
            meta = {"resourceVersion": str(self.version)}
            return {"kind": "ThingList", "apiVersion": "v1", "metadata": meta, "items": list(self.objects.values())}
        if name not in self.objects:
            raise NotFound.of("things", "", name)
        if method == "PUT":
            obj = orjson.loads(body)
            if obj["metadata"]["resourceVersion"] != self.objects[name]["metadata"]["resourceVersion"]:
                raise Conflict.stale("things", "", name)
            return self.put(name, **{k: v for k, v in obj.items() if k != "metadata"})
        return self.objects[name]

    async def _watch(self, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        script = self.scripts.pop(0) if self.scripts else ["hang"]
        for step in script:
            if step == "hang":
                await asyncio.Event().wait()
            data = orjson.dumps(step) + b"\n"
            # In three pieces, as sockets deliver them.
            for piece in (data[:7], data[7:-1], data[-1:]):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def event(kind: str, name: str, version: int, **fields) -> dict:
    return {"type": kind, "object": {"metadata": {"name": name, "resourceVersion": str(version)}, **fields}}
