"""Log lines to stderr, as words or as JSON, in upstream's forms.

    I0131 12:00:00.000000    1234 cycle.py:79] message            --logging-format=text
    {"ts":1769860800000.123,"caller":"cycle.py:79","msg":"message","v":0}     json

`log.info("message", extra=fields(pod="default/web"))` adds fields. -v 1 to 3 show records of `level(1)` to `level(3)`,
-v 4 and above those of debug. Source: Kubernetes documentation, "System Logs"; KEP-1602.
"""

from __future__ import annotations

import argparse
import fnmatch
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson

from kybern.process.flags import boolean, duration

TEXT, JSON = "text", "json"
MOST = 3
_LETTERS = {logging.DEBUG: "I", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}
FIELDS = "kybern_fields"
"""The key of a record's fields in `extra`."""


def add_flags(add: Callable[..., Any]) -> None:
    """The flags that all components have."""
    add("-v", "--v", type=int, default=0, metavar="LEVEL", help="log verbosity; 4 and above is debug")
    add("--vmodule", default="", metavar="PATTERN=LEVEL,...", help="the same for files of these names (text only)")
    add("--logging-format", choices=(TEXT, JSON), default=TEXT, help="the form of log lines")
    add("--log-flush-frequency", type=duration, default=5.0, metavar="DURATION",
        help="how long a line may wait; none ever does")  # fmt: skip
    for form in (TEXT, JSON):
        add(f"--log-{form}-split-stream", type=boolean, default=False, nargs="?", const=True,
            help=f"with the {form} format, errors to stderr and the rest to stdout")  # fmt: skip


def level(v: int) -> int:
    """The logging level of records that -v `v` shows."""
    return logging.INFO - v if v <= MOST else logging.DEBUG


def fields(**values: Any) -> dict[str, Any]:
    """Fields of a record, to be given as `extra`; `_` in a name stands for `-`."""
    return {FIELDS: {name.replace("_", "-"): value for name, value in values.items()}}


class Text(logging.Formatter):
    """klog's form: with fields, the message is quoted and they follow as key="value"."""

    def format(self, record: logging.LogRecord) -> str:
        letter = _LETTERS.get(record.levelno, "I" if record.levelno < logging.WARNING else "E")
        said, extra = record.getMessage(), record.__dict__.get(FIELDS)
        if extra:
            said = " ".join([_quoted(said), *(f"{name}={_shown(value)}" for name, value in extra.items())])
        head = f"{letter}{_local(record.created)} {os.getpid():>7} {record.filename}:{record.lineno}] {said}"
        return f"{head}\n{self.formatException(record.exc_info)}" if record.exc_info else head


class Json(logging.Formatter):
    """One object a line; `ts` is in milliseconds since the epoch."""

    def format(self, record: logging.LogRecord) -> str:
        made: dict[str, Any] = {
            "ts": round(record.created * 1000, 3),
            "caller": f"{record.filename}:{record.lineno}",
            "msg": record.getMessage(),
            "logger": record.name,
        }
        if record.levelno < logging.ERROR:
            made["v"] = _verbosity(record.levelno)
        made |= record.__dict__.get(FIELDS) or {}
        if record.exc_info:
            made["err"] = str(record.exc_info[1])
            made["stacktrace"] = self.formatException(record.exc_info)
        return orjson.dumps(made, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class _Modules(logging.Filter):
    """Lets records pass that are important enough, by the name of their file where that is said."""

    def __init__(self, least: int, modules: Mapping[str, int]) -> None:
        super().__init__()
        self._least, self._modules = least, modules

    def filter(self, record: logging.LogRecord) -> bool:
        for pattern, least in self._modules.items():
            if fnmatch.fnmatchcase(record.module, pattern):
                return record.levelno >= least
        return record.levelno >= self._least


def set_up(args: argparse.Namespace | None = None) -> None:
    """Log as the flags say; without them as words, of what is important."""
    verbosity: int = getattr(args, "v", 0) or 0
    form: str = getattr(args, "logging_format", TEXT)
    modules = _modules(getattr(args, "vmodule", "") if form == TEXT else "")
    handlers = [logging.StreamHandler(sys.stderr)]
    if getattr(args, f"log_{form}_split_stream", False):
        others = logging.StreamHandler(sys.stdout)
        others.addFilter(lambda record: record.levelno < logging.ERROR)
        handlers[0].setLevel(logging.ERROR)
        handlers.append(others)
    least = level(verbosity)
    for handler in handlers:
        handler.setFormatter(Json() if form == JSON else Text())
        if modules:
            handler.addFilter(_Modules(least, modules))
    logging.basicConfig(level=min([least, *modules.values()]), handlers=handlers, force=True)


def _modules(text: str) -> dict[str, int]:
    found = {}
    for part in filter(None, text.split(",")):
        pattern, _, number = part.rpartition("=")
        if pattern and number.isdecimal():
            found[pattern] = level(int(number))
    return found


def _verbosity(levelno: int) -> int:
    return max(0, min(logging.INFO - levelno, MOST + 1))


_second: tuple[int, str] = (-1, "")


def _local(created: float) -> str:
    """`0131 12:00:00.000000`, in the local time zone."""
    global _second
    second = int(created)
    if _second[0] != second:
        _second = (second, datetime.fromtimestamp(second).strftime("%m%d %H:%M:%S"))
    return f"{_second[1]}.{int((created - second) * 1_000_000):06d}"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _shown(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else str(value)
