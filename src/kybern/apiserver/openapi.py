"""Serves /openapi/v2 and /openapi/v3: what types and operations there are, for explain, apply and client generators.

Documents are made when first asked for, off the event loop, and kept compressed until the scheme changes.
Source: KEP-2896 OpenAPI v3.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import orjson

from kybern.api import schema
from kybern.api.apiextensions.custom import CustomResource
from kybern.api.resource import Resource
from kybern.api.scheme import Scheme
from kybern.api.types import Object
from kybern.apiserver import openapi_documents, openapi_proto
from kybern.apiserver.aggregator.documents import v2_with
from kybern.apiserver.discovery import Discovery, subresources
from kybern.apiserver.openapi_roots import Root, of_server
from kybern.apiserver.openapi_schemas import Schemas
from kybern.apiserver.request import JSON, Request, Response

GIT_VERSION = f"{schema.API_VERSION}.0"
_LEVEL = 5
_YEAR = 365 * 24 * 3600


@dataclass(slots=True, frozen=True)
class Document:
    """A document, gzip-compressed."""

    packed: bytes
    etag: str
    content_type: str


class Others(Protocol):
    """Who is behind this server."""

    version: int

    def v3_paths(self) -> dict[str, Object]: ...

    def v2_parts(self) -> list[Object]: ...


class OpenAPI:
    """Serves the documents of a scheme, with what `others` say of what they serve."""

    others: Others | None = None

    def __init__(self, scheme: Scheme, discovery: Discovery) -> None:
        self._scheme, self._discovery = scheme, discovery
        self._version = (-1, 0)
        self._documents: dict[str, Document] = {}
        self._hashes: dict[str, str] = {}
        self._making = asyncio.Lock()

    async def serve(self, request: Request) -> Response:
        """Answer a path below /openapi."""
        current = (self._scheme.version, self.others.version if self.others is not None else 0)
        if self._version != current:
            self._documents.clear()
            self._hashes.clear()
            self._version = current
        path = request.path.rstrip("/")
        if path == "/openapi/v2":
            return await self._serve_v2(request)
        if path == "/openapi/v3":
            return _answer(request, _packed(lambda: orjson.dumps(self._index()), JSON), [])
        name = path.removeprefix("/openapi/v3/")
        beside = self._roots().get(name)
        if beside is not None:
            return await self._serve_root(request, path, beside)
        found = self._found(name)
        if found is None:
            return Response(404, b"404 page not found\n", "text/plain; charset=utf-8")
        group, version, resources = found
        known = self._hash(name, resources, version)
        asked = request.arg("hash")
        if asked and asked != known:
            return Response(301, b"", "", [("location", f"{path}?hash={known}")])
        document = await self._document(name, JSON, lambda: self._v3(group, version, resources))
        immutable = [("cache-control", f"public, immutable, max-age={_YEAR}")] if asked else []
        return _answer(request, document, immutable)

    async def _serve_root(self, request: Request, path: str, said: Root) -> Response:
        asked, known = request.arg("hash"), _root_hash(said)
        if asked and asked != known:
            return Response(301, b"", "", [("location", f"{path}?hash={known}")])

        def made() -> bytes:
            return orjson.dumps(openapi_documents.v3_root(said, self._schemas([]), GIT_VERSION))

        immutable = [("cache-control", f"public, immutable, max-age={_YEAR}")] if asked else []
        return _answer(request, await self._document(said.document, JSON, made), immutable)

    def _roots(self) -> dict[str, Root]:
        """What stands beside the resources, by the names of their documents."""
        groups = self._discovery.groups()
        own = [group for group, versions in groups.items() if any(not r.custom for rs in versions.values() for r in rs)]
        return {said.document: said for said in of_server(own)}

    async def _serve_v2(self, request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if openapi_proto.ASKED_FOR in accept or openapi_proto.CONTENT_TYPE in accept:
            kind = openapi_proto.CONTENT_TYPE
            return _answer(request, await self._document("v2.pb", kind, lambda: openapi_proto.document(self._v2())), [])
        return _answer(request, await self._document("v2", JSON, lambda: orjson.dumps(self._v2())), [])

    def _index(self) -> Object:
        paths = {
            name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={_root_hash(said)}"}
            for name, said in self._roots().items()
        }
        for group, versions in self._discovery.groups().items():
            for version, resources in versions.items():
                name = f"apis/{group}/{version}" if group else f"api/{version}"
                url = f"/openapi/v3/{name}?hash={self._hash(name, resources, version)}"
                paths[name] = {"serverRelativeURL": url}
        if self.others is not None:
            paths |= self.others.v3_paths()
        return {"paths": paths}

    def _found(self, name: str) -> tuple[str, str, list[Resource]] | None:
        match name.split("/"):
            case ["api", version]:
                group = ""
            case ["apis", group, version]:
                pass
            case _:
                return None
        resources = self._discovery.groups().get(group, {}).get(version)
        return (group, version, resources) if resources else None

    def _hash(self, name: str, resources: list[Resource], version: str) -> str:
        """Changes with what the document is made from; the document itself need not be made for it."""
        if name not in self._hashes:
            said = [
                [r.kind, r.plural, r.namespaced, r.verbs, [[s.name, s.verbs] for s in subresources(r)]]
                for r in resources
            ]
            digest = hashlib.sha512(GIT_VERSION.encode())
            digest.update(orjson.dumps([said, [custom_schemas(r).get(version) for r in resources]]))
            self._hashes[name] = digest.hexdigest().upper()
        return self._hashes[name]

    def _schemas(self, resources: list[Resource]) -> Schemas:
        made = Schemas(schema.raw_definitions())
        for resource in resources:
            made.add_custom(resource, custom_schemas(resource))
        return made

    def _v3(self, group: str, version: str, resources: list[Resource]) -> bytes:
        made = openapi_documents.v3(group, version, resources, self._schemas(resources), GIT_VERSION)
        return orjson.dumps(made)

    def _v2(self) -> Object:
        groups = [
            (group, version, resources)
            for group, versions in self._discovery.groups().items()
            for version, resources in versions.items()
        ]
        made = openapi_documents.v2(groups, self._schemas(list(self._scheme)), GIT_VERSION)
        return v2_with(made, self.others.v2_parts()) if self.others is not None else made

    async def _document(self, name: str, content_type: str, make: Callable[[], bytes]) -> Document:
        found = self._documents.get(name)
        if found is None:
            # One at a time: several kubectls that start together ask for the same.
            async with self._making:
                found = self._documents.get(name)
                if found is None:
                    version = self._version
                    found = await asyncio.to_thread(_packed, make, content_type)
                    if version == self._version:
                        self._documents[name] = found
        return found


def _root_hash(said: Root) -> str:
    return hashlib.sha512(f"{GIT_VERSION}{said.id}".encode()).hexdigest().upper()


def custom_schemas(resource: Resource) -> dict[str, Object]:
    """version -> openAPIV3Schema of a custom kind; empty for a built-in one."""
    return resource.schemas if isinstance(resource, CustomResource) else {}


def _packed(make: Callable[[], bytes], content_type: str) -> Document:
    body = make()
    etag = f'"{hashlib.sha512(body).hexdigest().upper()}"'
    return Document(gzip.compress(body, _LEVEL, mtime=0), etag, content_type)


def _answer(request: Request, document: Document, headers: list[tuple[str, str]]) -> Response:
    headers = [("etag", document.etag), ("vary", "Accept-Encoding, Accept"), *headers]
    if request.headers.get("if-none-match") == document.etag:
        return Response(304, b"", "", headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(200, document.packed, document.content_type, [("content-encoding", "gzip"), *headers])
    return Response(200, gzip.decompress(document.packed), document.content_type, headers)
