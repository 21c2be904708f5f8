"""Request bodies to objects: JSON, YAML, protobuf; bounded depth; what comes twice in them."""

from __future__ import annotations

import json
from typing import Any

import orjson
import yaml

from kybern.api import protobuf
from kybern.api.errors import BadRequest, UnsupportedMediaType
from kybern.api.types import Object

JSON = "application/json"
YAML = "application/yaml"
MAX_DEPTH = 128
"""Deepest nesting taken: far beyond any real object, far below what recursion bears."""
MAX_YAML_NODES = 100_000
"""Values of a YAML document beyond one a byte."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def decode(body: bytes, content_type: str = JSON) -> Object:
    """The object in a request's body. Raises BadRequest (malformed, not an object, too deep), UnsupportedMediaType."""
    media = content_type.partition(";")[0].strip().lower() or JSON
    if media == protobuf.MEDIA_TYPE:
        return protobuf.decode(body)
    if media == JSON or media.endswith("+json"):
        decoded = _json(body)
    elif media == YAML or media.endswith("+yaml"):
        decoded = _yaml(body) if (found := _json_of_yaml(body)) is None else found
    else:
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}"
        )
    if type(decoded) is not dict:
        raise BadRequest(
            "couldn't get version/kind; json parse error: json: cannot unmarshal "
            f"{_shape(decoded)} into Go value of type struct {{ APIVersion string; Kind string }}"
        )
    return decoded


def _shape(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "array" if isinstance(value, list) else "string"


def _json(body: bytes) -> Any:
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"couldn't get version/kind; json parse error: {json_problem(body, error)}") from None
    if too_deep(body, decoded):
        raise BadRequest("couldn't get version/kind; json parse error: exceeded max depth")
    return decoded


def _json_of_yaml(body: bytes) -> Any:
    """JSON is YAML too, and clients send it as such; None where it isn't."""
    if not body.startswith(b"{"):
        return None
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return None if too_deep(body, decoded) else decoded


def json_problem(body: bytes, error: orjson.JSONDecodeError) -> str:
    """The Go decoder's words for malformed JSON."""
    text = body.decode("utf-8", "replace")
    if not text.strip():
        return "unexpected end of JSON input"
    try:
        json.loads(text)
    except RecursionError:
        return "exceeded max depth"
    except json.JSONDecodeError as problem:
        rest = text[problem.pos :].lstrip()
        if not rest:
            return "unexpected end of JSON input"
        where = "looking for beginning of value"
        if "property name" in problem.msg:
            where = "looking for beginning of object key string"
        elif "':' delimiter" in problem.msg:
            where = "after object key"
        elif "',' delimiter" in problem.msg:
            where = "after object key:value pair"
        elif "Extra data" in problem.msg:
            where = "after top-level value"
        shown = rest[0].replace("'", "\\'")
        return f"invalid character '{shown}' {where}"
    return str(error)


def too_deep(body: bytes, decoded: Any) -> bool:
    """Whether what a JSON body holds nests deeper than MAX_DEPTH."""
    return body.count(b"{") + body.count(b"[") > MAX_DEPTH and nests_too_deep(decoded)


def nests_too_deep(decoded: Any) -> bool:
    """Whether it nests deeper than MAX_DEPTH: level by level, as the stack must not decide."""
    if type(decoded) not in (dict, list):
        return False
    level = [decoded]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return False
    return True


def _yaml(body: bytes) -> Any:
    try:
        # JSON knows no dates and no binary, and upstream reads YAML as JSON: round off what YAML adds.
        return orjson.loads(orjson.dumps(_plain(yaml.load(body, Loader=_JSONLoader), 0, [MAX_YAML_NODES + len(body)])))
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


def duplicates(body: bytes, content_type: str, decoded: Any) -> list[str]:
    """Complaints of object keys that come twice in a body, of which `decoded` was made and not yet changed."""
    media = content_type.partition(";")[0].strip().lower() or JSON
    if media == protobuf.MEDIA_TYPE:
        return []
    # Cheap: encoded again it has as many colons, unless a key vanished (or something was written in another way).
    if orjson.dumps(decoded).count(b":") == body.count(b":"):
        return []
    return _yaml_duplicates(body) if media.endswith("yaml") else _json_duplicates(body)


def _json_duplicates(body: bytes) -> list[str]:
    found: list[str] = []
    try:
        tree = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return []
    _repeated(tree, "", found)
    return [f'duplicate field "{path}"' for path in found]


def _yaml_duplicates(body: bytes) -> list[str]:
    """All in one complaint, as upstream's YAML decoder makes it."""
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


class _Pairs(list[tuple[str, Any]]):
    """An object's (key, value) pairs as they came."""


def _repeated(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            here = f"{path}.{key}" if path else key
            if key in seen and here not in found:
                found.append(here)
            seen.add(key)
            _repeated(item, here, found)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _repeated(item, f"{path}[{i}]", found)
