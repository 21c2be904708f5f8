"""Reading the log files that runtimes write: `<time> <stdout|stderr> <F|P> <text>`, a line each.

`P` is a piece of a line that the runtime has cut, `F` its last or only one. Source: the CRI's logging format, and
PodLogOptions in the API reference.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kybern.kubelet.http.message import Refused
from kybern.process.clock import parse_time

CHUNK = 64 << 10
POLL = 0.1
"""Seconds between looks at a file that is followed."""
_LINE = re.compile(
    rb"(?P<day>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?(?P<zone>Z|[+-]\d\d:\d\d)"
    rb" (?P<stream>stdout|stderr) (?P<tag>[^ ]+) (?P<text>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Options:
    """What of a log is wanted."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    """Lines of the file from its end."""
    since: float | None = None
    """Seconds since the epoch."""
    limit: int | None = None
    """Bytes."""
    stream: str = ""
    """stdout or stderr; both if empty."""

    @classmethod
    def of(cls, query: Mapping[str, Sequence[str]], now: float) -> Options:
        """From a kubelet's query. Raises Refused (400 for what can't be read, 422 for what makes no sense)."""
        given = {name: values[0] for name, values in query.items() if values}

        def flag(name: str) -> bool:
            return name in given and given[name].lower() not in ("false", "0")

        try:
            tail, seconds, limit = (_number(given.get(name)) for name in ("tailLines", "sinceSeconds", "limitBytes"))
            since = parse_time(given["sinceTime"]) if given.get("sinceTime") else None
        except ValueError:
            raise Refused(400, '{"message": "Unable to decode query."}') from None
        stream = given.get("stream", "All")
        if (
            (tail is not None and tail < 0)
            or (limit is not None and limit < 1)
            or (seconds is not None and (seconds < 1 or since is not None))
            or stream not in ("All", "Stdout", "Stderr")
            or (stream != "All" and tail is not None)
        ):
            raise Refused(422, '{"message": "Invalid request."}')
        if seconds is not None:
            since = now - seconds
        wanted = "" if stream == "All" else stream.lower()
        return cls(flag("follow"), flag("previous"), flag("timestamps"), tail, since, limit, wanted)


def _number(text: str | None) -> int | None:
    return int(text) if text else None


class Lines:
    """Turns a log file's bytes, in pieces of any size, into the bytes that were asked for."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._rest = b""
        self._left = options.limit
        self._within = False
        """Whether the last piece was one of a line that goes on."""

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        """More of the file."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return self._limited(b"".join(map(self._text, lines)))

    def end(self) -> bytes:
        """What a last line without its end has to say."""
        rest, self._rest = self._rest, b""
        return self._limited(self._text(rest))

    def _text(self, line: bytes) -> bytes:
        """What a line of the file adds to the output; nothing if it isn't in the format."""
        match, options = _LINE.fullmatch(line), self._options
        if match is None or (options.stream and match["stream"].decode() != options.stream):
            return b""
        if options.since is not None and parse_time(_stamp(match).decode()) < options.since:
            return b""
        partial = match["tag"].split(b":")[0] == b"P"
        prefix = _stamp(match) + b" " if options.timestamps and not self._within else b""
        self._within = partial
        return prefix + match["text"] + (b"" if partial else b"\n")

    def _limited(self, text: bytes) -> bytes:
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text


def _stamp(match: re.Match[bytes]) -> bytes:
    """The line's time, always with nanoseconds."""
    return match["day"] + b"." + (match["fraction"] or b"").ljust(9, b"0") + match["zone"]


def tail_start(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines of a file begin."""
    at = end = file.seek(0, os.SEEK_END)
    if lines == 0:
        return end
    # The end of the last line begins no other.
    missing = lines + 1
    while at > 0:
        start = max(0, at - CHUNK)
        file.seek(start)
        block = file.read(at - start)
        if at == end and not block.endswith(b"\n"):
            missing -= 1
        found = block.count(b"\n")
        if found < missing:
            missing -= found
            at = start
            continue
        position = len(block)
        for _ in range(missing):
            position = block.rindex(b"\n", 0, position)
        return start + position + 1
    return 0


def open_log(path: Path) -> BinaryIO:
    """Raises OSError."""
    return open(path, "rb", buffering=0)


async def read(
    file: BinaryIO, path: Path, options: Options, ended: Callable[[], bool] = lambda: True
) -> AsyncIterator[bytes]:
    """The log in pieces, from its open file, which is closed at the end. One that is followed goes on until the
    container has `ended`, in the files that take the place of `path` when logs are rotated."""
    lines = Lines(options)
    try:
        if options.tail is not None:
            file.seek(tail_start(file, options.tail))
        was_ended = not options.follow
        while True:
            # Both are asked before reading: what was written till then is read.
            over, newer = was_ended, _newer(file, path) if options.follow else None
            was_ended = was_ended or ended()
            while data := file.read(CHUNK):
                if piece := lines.feed(data):
                    yield piece
                if lines.full:
                    return
                await asyncio.sleep(0)
            if newer is not None:
                file.close()
                file = newer
            elif over:
                break
            else:
                await asyncio.sleep(POLL)
        if rest := lines.end():
            yield rest
    finally:
        file.close()


def _newer(file: BinaryIO, path: Path) -> BinaryIO | None:
    """The file that has taken the place of the one that is open."""
    try:
        current, opened = os.stat(path), os.fstat(file.fileno())
        if (current.st_dev, current.st_ino) == (opened.st_dev, opened.st_ino):
            return None
        return open_log(path)
    except FileNotFoundError:
        # Rotation has moved it; the runtime is about to make the next.
        return None
