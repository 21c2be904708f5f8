"""Bodies in YAML, read as upstream does: as JSON written in another way. Loaded with the first of them."""

from __future__ import annotations

from typing import Any

import orjson
import yaml

from kybern.api.codec import MAX_DEPTH
from kybern.api.errors import BadRequest

MAX_NODES = 100_000
"""Values of a document beyond one a byte."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def decode(body: bytes) -> Any:
    """What the document holds. Raises BadRequest."""
    try:
        # JSON knows no dates and no binary, and upstream reads YAML as JSON: round off what YAML adds.
        return orjson.loads(orjson.dumps(_plain(yaml.load(body, Loader=_JSONLoader), 0, [MAX_NODES + len(body)])))
    except RecursionError:
        raise BadRequest("yaml: exceeded max depth") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        raise BadRequest(f"yaml: {said}") from None


class _JSONLoader(_Loader):  # type: ignore[misc]
    """YAML without timestamps: `2020-01-01` stays a string."""


_JSONLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _plain(value: Any, depth: int, left: list[int]) -> Any:
    """`left` is how many values there may still be: aliases of aliases make a short text a large object."""
    if depth > MAX_DEPTH:
        raise ValueError("exceeded max depth")
    if isinstance(value, dict):
        _spend(left, len(value))
        return {_key(key): _plain(item, depth + 1, left) for key, item in value.items()}
    if isinstance(value, list):
        _spend(left, len(value))
        return [_plain(item, depth + 1, left) for item in value]
    if isinstance(value, str):
        _spend(left, len(value) >> 6)
    return value


def _spend(left: list[int], number: int) -> None:
    left[0] -= number
    if left[0] < 0:
        raise ValueError("document contains excessive aliasing")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else str(key)


def duplicates(body: bytes) -> list[str]:
    """Complaints of keys that come twice: all in one complaint, as upstream's YAML decoder makes it."""
    found: list[tuple[int, str]] = []
    nodes, visited = [yaml.compose(body, Loader=_JSONLoader)], set()
    while nodes:
        node = nodes.pop()
        if id(node) in visited:
            continue  # an alias, maybe of what it is in
        visited.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    found.append((key.start_mark.line + 1, key.value))
                if isinstance(key.value, str):
                    seen.add(key.value)
                nodes.append(value)
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value
    if not found:
        return []
    lines = "".join(f'\n  line {line}: key "{key}" already set in map' for line, key in sorted(found))
    return [f"yaml: unmarshal errors:{lines}"]
