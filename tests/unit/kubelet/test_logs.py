"""Reading log files as runtimes write them."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

import pytest

from kybern.kubelet.http import container_logs, logs
from kybern.kubelet.http.logs import Lines, Options
from kybern.kubelet.http.message import Refused

FILE = (
    b"2026-01-31T12:00:00.5Z stdout F one\n"
    b"2026-01-31T12:00:01.123456789Z stderr F two\n"
    b"2026-01-31T12:00:02Z stdout P thr\n"
    b"2026-01-31T12:00:03+00:00 stdout F ee\n"
    b"2026-01-31T12:00:04Z stdout F \n"
)
NOON = 1769860800.0


def text(options: Options, data: bytes = FILE, size: int = 0) -> bytes:
    lines, size = Lines(options), size or len(data)
    said = b"".join(lines.feed(data[at : at + size]) for at in range(0, len(data), size))
    return said + lines.end()


@pytest.mark.parametrize("size", [0, 1, 7, 40])
def test_the_text_of_lines_is_given_and_cut_lines_are_joined(size: int) -> None:
    assert text(Options(), size=size) == b"one\ntwo\nthree\n\n"


def test_a_line_begins_with_its_time_in_nanoseconds() -> None:
    assert text(Options(timestamps=True)) == (
        b"2026-01-31T12:00:00.500000000Z one\n"
        b"2026-01-31T12:00:01.123456789Z two\n"
        b"2026-01-31T12:00:02.000000000Z three\n"
        b"2026-01-31T12:00:04.000000000Z \n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(since=NOON + 1.1), b"two\nthree\n\n"),
        (Options(since=NOON + 60), b""),
        (Options(stream="stderr"), b"two\n"),
        (Options(stream="stdout"), b"one\nthree\n\n"),
        (Options(limit=6), b"one\ntw"),
        (Options(limit=1000), b"one\ntwo\nthree\n\n"),
    ],
)
def test_what_is_wanted_is_chosen(options: Options, said: bytes) -> None:
    assert text(options) == said


def test_lines_in_another_format_are_left_out() -> None:
    assert text(Options(), b"nonsense\n2026 stdout F x\n\n" + FILE[:36]) == b"one\n"


def test_text_may_hold_anything() -> None:
    assert text(Options(), b"2026-01-31T12:00:00Z stdout F a  b\rc\xff stdout F\n") == b"a  b\rc\xff stdout F\n"


def test_a_last_line_without_its_end_counts() -> None:
    assert text(Options(), FILE[:35]) == b"one\n"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 100])
@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("block", [1, 4, 1000])
def test_the_last_lines_begin_where_counting_says(
    count: int, end: bytes, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "CHUNK", block)
    lines = [b"a", b"", b"ccc", b"dd", b"", b"e", b"ffffff"]
    data = b"\n".join(lines) + end
    start = logs.tail_start(io.BytesIO(data), count)
    wanted = lines[-count:] if count else []
    assert data[start:] == (b"\n".join(wanted) + end if count else b"")


def test_no_lines_of_an_empty_file() -> None:
    assert logs.tail_start(io.BytesIO(b""), 3) == 0


def test_options_come_from_the_query() -> None:
    query = {"follow": ["true"], "timestamps": ["0"], "tailLines": ["5"], "sinceSeconds": ["10"], "limitBytes": ["7"]}
    assert Options.of(query, 100.0) == Options(follow=True, tail=5, since=90.0, limit=7)
    query = {"previous": [""], "sinceTime": ["2026-01-31T12:00:00Z"], "stream": ["Stderr"]}
    assert Options.of(query, 100.0) == Options(previous=True, since=NOON, stream="stderr")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"tailLines": "x"}, 400),
        ({"sinceTime": "yesterday"}, 400),
        ({"tailLines": "-1"}, 422),
        ({"limitBytes": "0"}, 422),
        ({"sinceSeconds": "0"}, 422),
        ({"sinceSeconds": "1", "sinceTime": "2026-01-31T12:00:00Z"}, 422),
        ({"stream": "stdin"}, 422),
        ({"stream": "Stdout", "tailLines": "1"}, 422),
    ],
)
def test_options_that_make_no_sense_are_refused(query: dict[str, str], status: int) -> None:
    with pytest.raises(Refused) as caught:
        Options.of({name: [value] for name, value in query.items()}, 0.0)
    assert caught.value.status == status


async def whole(path: Path, options: Options) -> bytes:
    return b"".join([piece async for piece in logs.read(logs.open_log(path), path, options)])


async def test_a_file_is_read_from_its_tail(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(FILE)
    assert await whole(path, Options()) == b"one\ntwo\nthree\n\n"
    assert await whole(path, Options(tail=3)) == b"three\n\n"
    assert await whole(path, Options(tail=0)) == b""
    assert await whole(path, Options(limit=5)) == b"one\nt"


async def test_a_followed_log_goes_on_through_rotation_until_the_container_ends(tmp_path: Path) -> None:
    path, over = tmp_path / "0.log", asyncio.Event()
    path.write_bytes(FILE[:36])
    pieces = logs.read(logs.open_log(path), path, Options(follow=True), over.is_set)
    assert await anext(pieces) == b"one\n"
    with path.open("ab") as file:
        file.write(b"2026-01-31T12:00:05Z stdout F more\n")
    assert await anext(pieces) == b"more\n"
    with path.open("ab") as old:
        os.rename(path, tmp_path / "0.log.20260131-120000")
        old.write(b"2026-01-31T12:00:06Z stdout F late\n")
    path.write_bytes(b"2026-01-31T12:00:07Z stdout F new\n")
    assert [await anext(pieces), await anext(pieces)] == [b"late\n", b"new\n"]
    with path.open("ab") as file:
        file.write(b"2026-01-31T12:00:08Z stdout F last\n")
    over.set()
    assert [piece async for piece in pieces] == [b"last\n"]


def status(state: dict, last: dict | None = None, **more: object) -> dict:
    return {"containerStatuses": [{"name": "c", "state": state, "lastState": last or {}, **more}]}


ENDED = {"terminated": {"containerID": "containerd://old"}}


@pytest.mark.parametrize(
    ("known", "previous", "identity"),
    [
        (status({"running": {}}, ENDED, containerID="containerd://now"), False, "containerd://now"),
        (status({"running": {}}, ENDED, containerID="containerd://now"), True, "containerd://old"),
        (status({"terminated": {"containerID": "containerd://now"}}, ENDED), False, "containerd://now"),
        (status({"waiting": {"reason": "CrashLoopBackOff"}}, ENDED), False, "containerd://old"),
    ],
)
def test_which_attempt_is_meant(known: dict, previous: bool, identity: str) -> None:
    assert container_logs.attempt(known, "p", "c", previous=previous) == identity


@pytest.mark.parametrize(
    ("known", "previous", "text"),
    [
        ({}, False, 'container "c" in pod "p" is not available'),
        (status({"waiting": {"reason": "ContainerCreating"}}), False,
         'container "c" in pod "p" is waiting to start: ContainerCreating'),
        (status({"waiting": {"reason": "ErrImagePull"}}), False,
         'container "c" in pod "p" is waiting to start: image can\'t be pulled'),
        (status({"waiting": {"reason": "ImagePullBackOff"}}), False,
         'container "c" in pod "p" is waiting to start: trying and failing to pull image'),
        (status({"terminated": {"exitCode": 137}}), False, 'container "c" in pod "p" is terminated'),
        (status({}), False, 'container "c" in pod "p" is waiting to start - no logs yet'),
        (status({"running": {}}, containerID="containerd://now"), True,
         'previous terminated container "c" in pod "p" not found'),
    ],
)  # fmt: skip
def test_why_there_is_no_log(known: dict, previous: bool, text: str) -> None:
    with pytest.raises(Refused) as caught:
        container_logs.attempt(known, "p", "c", previous=previous)
    assert (caught.value.status, caught.value.text) == (400, text)
