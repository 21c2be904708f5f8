"""Log lines, as words and as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from kybern.process import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def flags(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    logs.add_flags(parser.add_argument)
    return parser.parse_args(words)


def written(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """What records of all sorts become."""
    logs.set_up(flags(*words))
    log = logging.getLogger("kybern.some.part")
    log.info("all is %s", "well", extra=logs.fields(pod="default/web", audit_ID="i", number=3))
    log.log(logs.level(3), "more")
    log.debug("most")
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("it failed")
    return capsys.readouterr().err.splitlines()


def test_words_are_in_klogs_form(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = written(capsys)
    head = r"\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ test_logs\.py:\d+\] "
    assert re.fullmatch(f"I{head}" + r'"all is well" pod="default/web" audit-ID="i" number=3', first)
    assert re.fullmatch(f"E{head}it failed", second)


def test_json_has_upstreams_fields(capsys: pytest.CaptureFixture[str]) -> None:
    info, more, most, failed = map(json.loads, written(capsys, "--logging-format=json", "-v", "4"))
    assert info.pop("ts") > 1.7e12 and re.fullmatch(r"test_logs\.py:\d+", info.pop("caller"))
    fields = {"pod": "default/web", "audit-ID": "i", "number": 3}
    assert info == {"msg": "all is well", "logger": "kybern.some.part", "v": 0, **fields}
    assert (more["v"], most["v"]) == (3, 4)
    assert failed["err"] == "wrong" and "v" not in failed and "ValueError" in failed["stacktrace"]


@pytest.mark.parametrize(("v", "lines"), [("0", 1), ("2", 1), ("3", 2), ("4", 3), ("9", 3)])
def test_verbosity(capsys: pytest.CaptureFixture[str], v: str, lines: int) -> None:
    found = written(capsys, "-v", v)
    assert sum(line.startswith("I") for line in found) == lines


def test_files_may_say_more_than_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert any(line.endswith("] most") for line in written(capsys, "--vmodule=other=1,test_l*=4"))
    assert not any(line.endswith("] most") for line in written(capsys, "--vmodule=other=4"))


def test_errors_and_the_rest_may_go_apart(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(flags("--logging-format=json", "--log-json-split-stream"))
    logging.getLogger("x").info("fine")
    logging.getLogger("x").error("bad")
    out, err = capsys.readouterr()
    assert (json.loads(out)["msg"], json.loads(err)["msg"]) == ("fine", "bad")
    assert sys.stderr is not None
