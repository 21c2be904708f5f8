"""JSONPath as CRDs use it: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`, `.a['b.c'][0]`.

Source: Kubernetes documentation, "JSONPath Support"; CRD reference, additionalPrinterColumns and selectableFields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import orjson

_TOKEN = re.compile(
    r"""\.\.(?P<deep>[\w$-]+)
      | \.(?P<name>(?:\\.|[^.\[\]\\{}()\s'"])+)
      | \[\s*'(?P<single>(?:\\.|[^'])*)'\s*\]
      | \[\s*"(?P<double>(?:\\.|[^"])*)"\s*\]
      | \[\s*(?P<index>-?\d+)\s*\]
      | \[\s*(?P<start>-?\d*):(?P<end>-?\d*)\s*\]
      | (?P<all>\[\s*\*\s*\])
      | \[\s*\?\s*\((?P<filter>(?:"(?:\\.|[^"])*"|'(?:\\.|[^'])*'|[^"')])*)\)\s*\]
    """,
    re.VERBOSE,
)
_CONDITION = re.compile(r"\s*@(?P<path>[^=!<>\s]*)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<value>.+?)\s*)?$")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}

Step = Callable[[Any], Iterator[Any]]


class PathError(ValueError):
    """Not a JSONPath; the message says where."""


class JSONPath:
    """A parsed path. Raises PathError."""

    __slots__ = ("_steps",)

    def __init__(self, text: str) -> None:
        self._steps = list(_parse(text))

    def find(self, obj: Any) -> list[Any]:
        """All values at the path, in order."""
        found = [obj]
        for step in self._steps:
            found = [part for value in found for part in step(value)]
        return found


@lru_cache(maxsize=1024)
def compiled(text: str) -> JSONPath:
    """The path, parsed once. Raises PathError."""
    return JSONPath(text)


def _parse(text: str) -> Iterator[Step]:
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    text = text.removeprefix("$")
    if text and text[0] not in ".[":
        text = f".{text}"
    at = 0
    while at < len(text) and text[at:] != ".":
        match = _TOKEN.match(text, at)
        if match is None:
            raise PathError(f"unrecognized character in path {text!r} at {at}")
        yield _step(match)
        at = match.end()


def _step(match: re.Match[str]) -> Step:
    if match["deep"] is not None:
        return _descend(match["deep"])
    for group in ("name", "single", "double"):
        if match[group] is not None:
            name = match[group]
            return _every if group == "name" and name == "*" else _field(_plain(name))
    if match["index"] is not None:
        return _item(int(match["index"]))
    if match["all"] is not None:
        return _every
    if match["filter"] is not None:
        return _filter(match["filter"])
    start, end = (int(match[key]) if match[key] else None for key in ("start", "end"))
    return lambda value: iter(value[start:end] if isinstance(value, list) else ())


def _plain(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _item(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def _descend(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            if name in value:
                yield value[name]
            for part in value.values():
                yield from step(part)
        elif isinstance(value, list):
            for part in value:
                yield from step(part)

    return step


def _filter(text: str) -> Step:
    match = _CONDITION.match(text)
    if match is None:
        raise PathError(f"unrecognized filter {text!r}")
    path, operator = JSONPath(match["path"]), match["operator"]
    wanted = _literal(match["value"]) if operator else None

    def holds(item: Any) -> bool:
        found = path.find(item)
        if not operator:
            return bool(found)
        try:
            return bool(found) and _COMPARE[operator](found[0], wanted)
        except TypeError:
            return False

    return lambda value: (item for item in (value if isinstance(value, list) else ()) if holds(item))


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return _plain(text[1:-1])
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise PathError(f"unrecognized value {text!r}") from None
