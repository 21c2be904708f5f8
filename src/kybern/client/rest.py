"""The API in objects: get, list, create, update, patch, delete and watch over any transport.

Every method raises an APIError of `kybern.api.errors`; Unreachable (a ServiceUnavailable) where no answer came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import orjson

from kybern.api.errors import APIError, InternalError, from_status
from kybern.api.types import Object
from kybern.client.transport import Answer, Transport, Unreachable
from kybern.process.clock import monotonic, random
from kybern.process.metrics import Counter, Tallies

_READ_ATTEMPTS = 4
_BUSY_ATTEMPTS = 10
_PAGE = 500

Body = Object | list[Any] | bytes | None
"""What is sent: JSON, or bytes as they are."""

PatchType = Literal["merge", "strategic", "json", "apply"]
_PATCH_CONTENT = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_METADATA_ONLY = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"

_requests = Counter("rest_client_requests", "Requests sent, by what came of them.", ["code", "host", "method"])
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_took = Tallies("rest_client_request_duration_seconds", "Time to the answer.", ["verb", "host"], _SECONDS)


@dataclass(slots=True)
class ObjectList:
    """A whole listing as of `resource_version`. Items carry kind and apiVersion."""

    items: list[Object]
    resource_version: str
    kind: str = ""


class WatchEvent(NamedTuple):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


class Client:
    """One server, one identity."""

    def __init__(self, transport: Transport, *, user_agent: str = "kybern") -> None:
        self.transport = transport
        self._host = urlsplit(getattr(transport, "server", "")).netloc
        self._headers = {"User-Agent": user_agent, "Accept": "application/json"}
        self.fence: Callable[[], None] | None = None
        """Called before each attempt to write; raises an APIError where nothing may be written now."""

    def resource(
        self, api_version: str, plural: str, *, namespaced: bool = True, metadata_only: bool = False
    ) -> ResourceClient:
        """The endpoint of a resource, e.g. ("apps/v1", "deployments"). With `metadata_only`, reads give
        PartialObjectMetadata."""
        return ResourceClient(self, api_version, plural, namespaced=namespaced, metadata_only=metadata_only)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
    ) -> Object:
        """Send and decode. Raises the APIError the server answered with."""
        answer = await self._send(method, path, query, body, headers)
        if answer.status >= 400:
            raise _error(answer.status, answer.body)
        if not answer.body:
            return {}
        try:
            decoded: Object = orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise InternalError(f"the answer to {method} {path} is not JSON: {error}") from error
        return decoded

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers (lower-case names) and body, whatever the status is."""
        return await self._send(method, path, query, body, headers)

    async def stream(
        self, path: str, *, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """GET, giving the body's chunks as they come (logs, watches). Close the iterator to end it."""
        async with self.transport.open(_target(path, query), {**self._headers, **(headers or {})}) as stream:
            _requests.labels(str(stream.status), self._host, "GET").inc()
            if stream.status >= 400:
                raise _error(stream.status, b"".join([chunk async for chunk in stream.chunks]))
            async for chunk in stream.chunks:
                yield chunk

    async def close(self) -> None:
        await self.transport.close()

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Body,
        headers: Mapping[str, str] | None,
    ) -> Answer:
        target = _target(path, query)
        sent = {**self._headers, **(headers or {})}
        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        failures = busy = 0
        while True:
            if self.fence and method not in ("GET", "HEAD"):
                self.fence()
            began = monotonic()
            try:
                answer = await self.transport.send(method, target, sent, data)
            except Unreachable:
                _requests.labels("<error>", self._host, method).inc()
                failures += 1
                if method not in ("GET", "HEAD") or failures >= _READ_ATTEMPTS:
                    raise
                await asyncio.sleep(0.05 * 2**failures * random.uniform(1, 1.5))
                continue
            _requests.labels(str(answer.status), self._host, method).inc()
            _took.of(method, self._host).observe(monotonic() - began)
            wait = _retry_after(answer)
            if wait is None or busy >= _BUSY_ATTEMPTS:
                return answer
            busy += 1
            await asyncio.sleep(wait)


class ResourceClient:
    """The verbs on one resource. Namespaces are "" for cluster-scoped resources and for all namespaces."""

    def __init__(
        self, client: Client, api_version: str, plural: str, *, namespaced: bool = True, metadata_only: bool = False
    ) -> None:
        self.client = client
        self.api_version = api_version
        self.plural = plural
        self.namespaced = namespaced
        self.metadata_only = metadata_only
        self._base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection or of one object."""
        parts = [self._base]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{quote(namespace)}")
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=":"))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    async def get(self, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return await self.client.request("GET", self.path(namespace, name, subresource), headers=self._accept(""))

    async def list(
        self,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        resource_version: str | None = None,
    ) -> ObjectList:
        """The whole listing; with `limit` it is fetched in pages of that size. Raises Expired if a page came late."""
        query = _selectors(label_selector, field_selector)
        if resource_version is not None:
            query["resourceVersion"] = resource_version
        if limit:
            query["limit"] = str(limit)
        items: list[Object] = []
        while True:
            page = await self.client.request("GET", self.path(namespace), query=query, headers=self._accept("List"))
            items += _filled(page)
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return ObjectList(items, meta.get("resourceVersion", ""), page.get("kind", ""))
            query.pop("resourceVersion", None)
            query["continue"] = meta["continue"]
            query.setdefault("limit", str(_PAGE))

    async def create(
        self, obj: Object, namespace: str = "", *, dry_run: bool = False, field_manager: str = ""
    ) -> Object:
        """Namespace defaults to the object's own."""
        path = self.path(namespace or obj["metadata"].get("namespace", ""))
        return await self.client.request("POST", path, query=_options(dry_run, field_manager), body=obj)

    async def update(self, obj: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        """Replace; raises Conflict if the object's resourceVersion isn't the current one."""
        meta = obj["metadata"]
        path = self.path(meta.get("namespace", ""), meta["name"], subresource)
        return await self.client.request("PUT", path, query=_options(dry_run), body=obj)

    async def update_status(self, obj: Object) -> Object:
        return await self.update(obj, subresource="status")

    async def patch(
        self,
        name: str,
        body: Object | Sequence[Any],
        namespace: str = "",
        *,
        type: PatchType = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        query = _options(dry_run, field_manager)
        if force:
            query["force"] = "true"
        headers = {"Content-Type": _PATCH_CONTENT[type]}
        path = self.path(namespace, name, subresource)
        return await self.client.request("PATCH", path, query=query, body=_plain(body), headers=headers)

    async def delete(
        self,
        name: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Object:
        """Gives the object as it is being deleted, or a Status. Raises Conflict if a precondition fails."""
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy:
            options["propagationPolicy"] = propagation_policy
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if present := {name: value for name, value in preconditions.items() if value}:
            options["preconditions"] = present
        return await self.client.request("DELETE", self.path(namespace, name), body=options)

    async def delete_collection(
        self,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        propagation_policy: str = "",
    ) -> Object:
        query = _selectors(label_selector, field_selector)
        if propagation_policy:
            query["propagationPolicy"] = propagation_policy
        return await self.client.request("DELETE", self.path(namespace), query=query)

    async def watch(
        self,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout_seconds: int | None = None,
        bookmarks: bool = True,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events until the server ends the watch. An ERROR event is raised (Expired when the version is too old)."""
        query = _selectors(label_selector, field_selector)
        query["watch"] = "true"
        if bookmarks:
            query["allowWatchBookmarks"] = "true"
        if resource_version:
            query["resourceVersion"] = resource_version
        if timeout_seconds is not None:
            query["timeoutSeconds"] = str(timeout_seconds)
        stream = self.client.stream(self.path(namespace), query=query, headers=self._accept(""))
        async with aclosing(stream) as chunks:
            async for line in lines(chunks):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise from_status(event["object"])
                yield WatchEvent(event["type"], event["object"])

    async def post(self, name: str, subresource: str, body: Object, namespace: str = "") -> Object:
        """Create through a subresource: binding, eviction, token."""
        return await self.client.request("POST", self.path(namespace, name, subresource), body=body)

    def _accept(self, suffix: str) -> Mapping[str, str] | None:
        return {"Accept": _METADATA_ONLY.format(suffix)} if self.metadata_only else None


async def lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines of a byte stream. A long line's pieces are kept apart and joined once."""
    pieces: list[bytes] = []
    async for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        pieces.append(first)
        if not rest:
            continue
        if line := b"".join(pieces):
            yield line
        for line in rest[:-1]:
            if line:
                yield line
        pieces = [rest[-1]]


def _filled(page: Object) -> list[Object]:
    """The items of a list, each with the kind and apiVersion that lists of built-in kinds leave out."""
    items: list[Object] = page.get("items") or []
    kind = page.get("kind", "").removesuffix("List")
    api_version = page.get("apiVersion", "")
    if kind:
        for item in items:
            item.setdefault("kind", kind)
            item.setdefault("apiVersion", api_version)
    return items


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    query = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in query.items() if value}


def _options(dry_run: bool, field_manager: str = "") -> dict[str, str]:
    query = {"dryRun": "All"} if dry_run else {}
    if field_manager:
        query["fieldManager"] = field_manager
    return query


def _plain(body: Object | Sequence[Any]) -> Body:
    return body if isinstance(body, dict) else list(body)


def _target(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _retry_after(answer: Answer) -> float | None:
    """Seconds to wait before sending the same again: what the server asks for when it is too busy."""
    if answer.status not in (429, 503):
        return None
    try:
        return float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None


def _error(code: int, body: bytes) -> APIError:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict):
        status = {"message": body.decode(errors="replace").strip()[:500]}
    return from_status(status, code)
