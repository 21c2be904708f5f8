"""A request to the kubelet and what it is answered with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson

from kybern.streaming.pipes import Reader, Writer

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


@dataclass(slots=True)
class Request:
    """`path` is decoded, `query` has every value of a parameter, header names are lower-case and repeated ones are
    joined by ", "; `certificate` is the client's, as DER, its chain checked in the handshake."""

    method: str
    path: str
    query: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    certificate: bytes | None = None


@dataclass(slots=True)
class Response:
    """A body that is an iterator is sent chunk by chunk as it comes."""

    status: int
    body: bytes | AsyncIterator[bytes]
    content_type: str = TEXT
    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Upgrade:
    """101 with these headers; then the connection is the handler's until it returns."""

    headers: list[tuple[str, str]]
    handler: Callable[[Reader, Writer], Awaitable[None]]


Answer: TypeAlias = Response | Upgrade


class Refused(Exception):
    """A request that gets a status and one line of text."""

    def __init__(self, status: int, text: str, headers: list[tuple[str, str]] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers or []

    def response(self) -> Response:
        return Response(self.status, self.text.encode(), TEXT, self.headers)


def json_response(document: object) -> Response:
    return Response(200, orjson.dumps(document), JSON)
