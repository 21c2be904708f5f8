"""HTTP/1.1 as bytes: heads of answers, and the few answers that are always the same."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus

from kybern.process.clock import clock

_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
END = b"0\r\n\r\n"
"""Of a chunked body."""


def _fixed(status: int, text: str) -> bytes:
    line = _STATUS[status]
    head = f"{line}content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: {len(text)}\r\n\r\n"
    return f"{head}{text}".encode()


MALFORMED = _fixed(400, "400 Bad Request")
HEADERS_TOO_LARGE = _fixed(431, "431 Request Header Fields Too Large")

_date: tuple[int, str] = (0, "")


def _now() -> str:
    """The Date header's value; made anew once a second."""
    global _date
    second = int(clock.time())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True))
    return _date[1]


def head(
    status: int,
    headers: Sequence[tuple[str, str]],
    length: int | None,
    *,
    close: bool,
    chunked: bool = False,
    upgrade: bool = False,
) -> bytes:
    """Status line and headers. `length` is the body's, if it is known and not among the headers."""
    own = "".join([f"{name}: {_clean(value)}\r\n" for name, value in headers])
    lines = [_STATUS.get(status) or f"HTTP/1.1 {status} Status\r\n", own]
    if not upgrade:
        if "cache-control: " not in own:
            lines.append("cache-control: no-cache, private\r\n")
        lines.append(f"date: {_now()}\r\n")
        if close:
            lines.append("connection: close\r\n")
        if chunked:
            lines.append("transfer-encoding: chunked\r\n")
        elif length is not None and status != 204:
            lines.append(f"content-length: {length}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("utf-8", "replace")


def end(trailers: Sequence[tuple[str, str]]) -> bytes:
    """The end of a chunked body, and what is said after it."""
    lines = "".join([f"{name}: {_clean(value)}\r\n" for name, value in trailers])
    return b"0\r\n" + lines.encode("utf-8", "replace") + b"\r\n"


def _clean(value: str) -> str:
    """A header value can't break out of its line."""
    return value.replace("\r", " ").replace("\n", " ") if "\n" in value or "\r" in value else value
