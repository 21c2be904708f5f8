"""Who asked for what, and what came of it: an audit event at each stage of a request that the policy names.

The chain tells a request's `Trail` what it finds out. An event's fixed parts are put together at once, its objects and
its encoding when an output asks for them.
Source: API reference, Event (audit.k8s.io/v1); Kubernetes documentation, "Auditing".
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import orjson

from kybern.api import codec, protobuf, protobuf_encode
from kybern.api.durations import go_duration
from kybern.api.errors import APIError, InternalError
from kybern.api.types import Object
from kybern.apiserver.app import Decision
from kybern.apiserver.audit_outputs import Event, Output
from kybern.apiserver.audit_policy import (
    COMPLETE,
    LEVELS,
    METADATA,
    NONE,
    PANIC,
    RECEIVED,
    REQUEST,
    REQUEST_RESPONSE,
    STARTED,
    Policy,
    Verdict,
)
from kybern.apiserver.dispatch import LONG_RUNNING
from kybern.apiserver.following import followed
from kybern.apiserver.request import Request, Response, Stream, Upgrade, UserInfo
from kybern.process.clock import clock, monotonic, new_uid

VERSION = "audit.k8s.io/v1"
MAX_ID = 64
MAX_AGENT = 1024
SLOW_SECONDS = 0.5
"""How long a request took is noted from here on."""
_NAMED = ("namespace", "name", "uid", "resourceVersion")
_STATUSES = (b'{"kind":"Status",', protobuf_encode.head("v1", "Status"))
_PATH = "/:@!$&'()*+,;=~"
_PLAIN_PATH = re.compile(r"[\w./:@!$&'()*+,;=~-]*", re.ASCII).fullmatch
"""Whether a path has nothing that is escaped in an URI."""


class Audit:
    """Begins the trails of requests."""

    def __init__(self, policy: Policy, *outputs: Output) -> None:
        self._policy = policy
        self.outputs = outputs
        self.events = self.rejected = 0
        """How many events there were, and how many requests that couldn't be written down strictly enough."""
        self._running: set[asyncio.Future[bool]] = set()
        self.levels = dict.fromkeys(LEVELS, 0)
        """How many requests the policy gave which level."""

    def begin(self, request: Request) -> Trail | None:
        """The trail of an authenticated request, left in it; None if nothing of it is written."""
        verdict = self._policy.evaluate(request.user, request.info)
        self.levels[LEVELS[verdict.level]] += 1
        if verdict.level == NONE:
            return None
        trail = request.trail = Trail(self, request, verdict, request.user)
        trail.received()
        for name, text in request.notes.items():
            trail.annotate(name, text)
        return trail

    def unauthenticated(self, request: Request) -> None:
        """Note a request whose credentials were refused."""
        verdict = self._policy.evaluate(None, request.info)
        if verdict.level != NONE:
            Trail(self, request, verdict, None).refused()

    def going_on(self, written: Awaitable[bool]) -> asyncio.Future[bool]:
        """Have it go on whether or not anybody waits for it."""
        task = asyncio.ensure_future(written)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def close(self) -> None:
        """Write what is left."""
        await asyncio.gather(*self._running, return_exceptions=True)
        for output in self.outputs:
            await output.close()


class Trail:
    """What is known of one request so far."""

    def __init__(self, audit: Audit, request: Request, verdict: Verdict, user: UserInfo | None) -> None:
        self.id = request.headers.get("audit-id", "")[:MAX_ID] or new_uid()
        self.pending: list[tuple[Output, asyncio.Future[bool]]] = []
        """Outputs that aren't done yet and are to be waited for."""
        self._audit, self._request, self._verdict = audit, request, verdict
        self._refused = False
        self._referred: Object | None = None
        self._began, self._arrived = clock.micro_stamp(), monotonic()
        self._user = _user(user) if user else {}
        self._asked: Object = {}
        self._impersonated: Object | None = None
        self._constraint = ""
        self._annotations: dict[str, str] = {}
        self._allowed = False
        self._over = False

    @property
    def unsettled(self) -> bool:
        """Whether `settle` has anything to wait for, or to complain of."""
        return bool(self.pending) or self._refused

    async def settle(self) -> None:
        """Return when the events so far are where they should be. Raises InternalError where a strict output failed
        at the request's arrival."""
        pending, self.pending = self.pending, []
        for output, written in pending:
            if not await written and output.strict:
                self._refused = True
        if self._refused and not self._over:
            self._refused, self._over = False, True
            self._audit.rejected += 1
            raise InternalError("Internal error occurred: failed to store audit event", details={})

    # What the chain tells.

    def received(self) -> None:
        """It arrived, and its sender is known."""
        self._emit(RECEIVED)

    def refused(self) -> None:
        """Its sender isn't known."""
        tried = _methods(self._request)
        message = f"Authentication failed, attempted: {tried}" if tried else "Authentication failed"
        self._emit(STARTED, {"metadata": {}, "message": message, "code": 401})

    def impersonated(self, user: UserInfo, constraint: str = "") -> None:
        """It is made in another's name; `constraint` is the verb that allows it for this and not for everything."""
        self._impersonated, self._constraint, self._asked = _user(user), constraint, {}

    def decided(self, decision: Decision) -> None:
        """Whether it is allowed, and why."""
        self._allowed = bool(decision.allowed)
        if decision.error and not self._allowed:
            self._annotations["authorization.k8s.io/reason"] = "internal error"
            return
        self._annotations["authorization.k8s.io/decision"] = "allow" if self._allowed else "forbid"
        self._annotations["authorization.k8s.io/reason"] = decision.reason

    def refer(self, metadata: Object) -> None:
        """What the body says the object is called, which events name where the path doesn't."""
        self._referred = {name: metadata[name] for name in _NAMED if metadata.get(name)}

    def annotate(self, key: str, value: str, level: int = METADATA) -> None:
        """Add an annotation, for events of that level and above; what is there stays."""
        if self._verdict.level >= level:
            self._annotations.setdefault(key, value)

    def deprecated(self, gone_in: str) -> None:
        """It is for a version that is deprecated, and will be gone in a release, if that is said."""
        self.annotate("k8s.io/deprecated", "true")
        if gone_in:
            self.annotate("k8s.io/removed-release", gone_in)

    def panicked(self, error: Exception) -> None:
        """The server failed at it; nothing comes after."""
        status = {"metadata": {}, "status": "Failure", "message": f"APIServer panic'd: {error}"}
        self._emit(PANIC, {**status, "reason": "InternalError", "code": 500}, objects=True)
        self._over = True

    def answered(self, response: Response) -> Response:
        """Its answer begins; gives what is to be sent in its place, so that the end is noticed."""
        if self._over:
            return response
        info, body = self._request.info, response.body
        status = _status(response)
        long_running = info.verb == "watch" or info.subresource in LONG_RUNNING
        if long_running:
            self._emit(STARTED, status, objects=True)

        def complete(content: bytes = b"") -> None:
            if not self._over:
                self._over = True
                if (took := monotonic() - self._arrived) > SLOW_SECONDS:
                    self.annotate("apiserver.latency.k8s.io/total", go_duration(took))
                self._emit(COMPLETE, status, objects=True, answer=(content, _content_type(response)))

        if isinstance(body, bytes) and not isinstance(response, Stream | Upgrade):
            complete(body)
        elif self._request.method == "HEAD":
            complete()
        elif self._verdict.level == REQUEST_RESPONSE and not long_running and not isinstance(body, bytes):
            response.body = _kept(body, complete)
        else:
            return followed(response, complete)
        return response

    # Events.

    def _about(self) -> Object:
        """What is the same in all events of the request."""
        request = self._request
        path = request.path if _PLAIN_PATH(request.path) else quote(request.path, safe=_PATH)
        about: Object = {
            "requestURI": f"{path}?{request.query}" if request.query else path,
            "verb": request.info.verb,
            "user": self._user,
        }
        if self._impersonated:
            about["impersonatedUser"] = self._impersonated
        if self._constraint:
            about["authenticationMetadata"] = {"impersonationConstraint": self._constraint}
        if sources := _sources(request):
            about["sourceIPs"] = sources
        if agent := request.headers.get("user-agent", ""):
            about["userAgent"] = agent if len(agent) <= MAX_AGENT else f"{agent[:MAX_AGENT]}...TRUNCATED"
        if request.info.is_resource:
            about["objectRef"] = _reference(request)
        self._asked = about
        return about

    def _emit(
        self, stage: str, status: Object | None = None, *, objects: bool = False, answer: tuple[bytes, str] = (b"", "")
    ) -> None:
        verdict, request = self._verdict, self._request
        if stage in verdict.omit_stages:
            return
        event: Object = {
            "kind": "Event",
            "apiVersion": VERSION,
            "level": LEVELS[verdict.level],
            "auditID": self.id,
            "stage": stage,
            **(self._asked or self._about()),
        }
        if status:
            event["responseStatus"] = status
        tail: Object = {
            "requestReceivedTimestamp": self._began,
            "stageTimestamp": self._began if stage == RECEIVED else clock.micro_stamp(),
        }
        if self._annotations:
            tail["annotations"] = dict(self._annotations)
        with_objects = objects and request.info.is_resource and request.info.subresource != "proxy"
        # The body of a request that is refused isn't looked at.
        sent = request if with_objects and self._allowed else None
        if sent is not None and verdict.level < REQUEST:
            if self._referred is not None:
                known: Object = event["objectRef"]
                new = {name: value for name, value in self._referred.items() if name not in known}
                event["objectRef"], sent = {**known, **new}, None
            elif request.info.verb not in ("create", "update"):
                sent = None
        made = Event(lambda: _whole(event, tail, sent, answer if with_objects else (b"", ""), verdict))
        self._audit.events += 1
        for output in self._audit.outputs:
            written = output.write(made)
            if written is False:
                self._refused = self._refused or output.strict
            elif written is not True:
                self.pending.append((output, self._audit.going_on(written)))


def _whole(event: Object, tail: Object, request: Request | None, answer: tuple[bytes, str], verdict: Verdict) -> Object:
    """The whole event. May run in a thread: touches nothing that changes."""
    if request is not None:
        sent = _decoded(request.body, request.headers.get("content-type", ""))
        if sent and request.info.verb in ("create", "update"):
            event["objectRef"] = {**event["objectRef"]}
            _complete(event["objectRef"], sent)
        if sent is not None and verdict.level >= REQUEST:
            event["requestObject"] = _without_managed_fields(sent) if verdict.omit_managed_fields else sent
    content, kind = answer
    if content and verdict.level >= REQUEST_RESPONSE:
        if kind == codec.JSON and not verdict.omit_managed_fields:
            event["responseObject"] = orjson.Fragment(content)
        elif (given := _decoded(content, kind)) is not None:
            event["responseObject"] = _without_managed_fields(given) if verdict.omit_managed_fields else given
    assert verdict.level >= METADATA
    return {**event, **tail}


def _decoded(body: bytes, kind: str) -> Any:
    """What a body says; None for nothing, and for what can't be read."""
    if not body:
        return None
    if body[:1] in (b"{", b"["):  # also patches, which may be lists
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
    try:
        return codec.decode(body, kind)
    except APIError:
        return None


def _complete(reference: Object, sent: Any) -> None:
    """Fill in what the path left open and the object says."""
    metadata = sent.get("metadata") if isinstance(sent, dict) else None
    if isinstance(metadata, dict):
        for name in _NAMED:
            if metadata.get(name) and not reference.get(name):
                reference[name] = metadata[name]


def _without_managed_fields(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    made = dict(found)
    if isinstance(made.get("metadata"), dict):
        made["metadata"] = {name: value for name, value in made["metadata"].items() if name != "managedFields"}
    if isinstance(made.get("items"), list):
        made["items"] = [_without_managed_fields(item) for item in made["items"]]
    if made.get("kind") == "Table" and isinstance(made.get("rows"), list):
        made["rows"] = [{**row, "object": _without_managed_fields(row.get("object"))} for row in made["rows"]]
    return made


def _user(user: UserInfo) -> Object:
    made: Object = {"username": user.name}
    if user.uid:
        made["uid"] = user.uid
    if user.groups:
        made["groups"] = list(user.groups)
    if user.extra:
        made["extra"] = {key: list(values) for key, values in user.extra.items()}
    return made


def _reference(request: Request) -> Object:
    info = request.info
    parts = {
        "resource": info.resource,
        "namespace": info.namespace,
        "name": info.name,
        "apiGroup": info.group,
        "apiVersion": info.version,
        "subresource": info.subresource,
    }
    return {name: value for name, value in parts.items() if value}


def _sources(request: Request) -> list[str]:
    """Who sent it, through which proxies: what they say of themselves first."""
    headers = request.headers
    named = [request.client[0]]
    if "x-forwarded-for" in headers or "x-real-ip" in headers:
        forwarded = [part.strip() for part in headers.get("x-forwarded-for", "").split(",")]
        named = [*forwarded, headers.get("x-real-ip", "").strip(), *named]
    found: list[str] = []
    for address in map(_address, named):
        if address and (not found or found[-1] != address):
            found.append(address)
    return found


@lru_cache(maxsize=1024)
def _address(text: str) -> str:
    """An address as it is usually written; nothing where it isn't one."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def _methods(request: Request) -> str:
    scheme = request.headers.get("authorization", "").strip().partition(" ")[0].lower()
    tried = [scheme] if scheme in ("basic", "bearer") else []
    return ", ".join([*tried, *(["x509"] if request.peer_certificate else [])])


def _content_type(response: Response) -> str:
    headers = response.headers
    if headers and headers[0][0] == "content-type":
        return headers[0][1]
    return next((value for name, value in headers if name == "content-type"), "")


def _status(response: Response) -> Object:
    """The code, and the rest of a Status where that is the answer."""
    body = response.body
    if isinstance(body, bytes) and body.startswith(_STATUSES):
        found = protobuf.decode(body) if body.startswith(protobuf.MAGIC) else orjson.loads(body)
        names = ("status", "message", "reason", "details")
        return {"metadata": {}, **{name: found[name] for name in names if found.get(name)}, "code": response.status}
    return {"metadata": {}, "code": response.status}


async def _kept(body: AsyncIterator[bytes], complete: Callable[[bytes], None]) -> AsyncIterator[bytes]:
    """The same pieces; `complete` gets them together at the end."""
    pieces: list[bytes] = []
    try:
        async for piece in body:
            pieces.append(piece)
            yield piece
    finally:
        complete(b"".join(pieces))
