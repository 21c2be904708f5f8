"""Request bodies to objects: JSON, YAML; bounded depth; duplicate fields where someone asks for them."""

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

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def decode(body: bytes, content_type: str = JSON) -> Object:
    """The object in a request's body. Raises BadRequest (malformed, not an object, too deep), UnsupportedMediaType."""
    media = content_type.partition(";")[0].strip().lower() or JSON
    if media == protobuf.MEDIA_TYPE:
        return protobuf.decode(body)
    if media == JSON or media.endswith("+json"):
        decoded = _json(body)
    elif media == YAML or media.endswith("+yaml"):
        decoded = _yaml(body)
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
        raise BadRequest(f"couldn't get version/kind; json parse error: {_json_problem(body, error)}") from None
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and type(decoded) in (dict, list):
        _check_depth(decoded)
    return decoded


def _json_problem(body: bytes, error: orjson.JSONDecodeError) -> str:
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


def _check_depth(decoded: Any) -> None:
    """Level by level, as the stack must not decide. Raises BadRequest if it nests deeper than MAX_DEPTH."""
    level = [decoded]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return
    raise BadRequest("couldn't get version/kind; json parse error: exceeded max depth")


def _yaml(body: bytes) -> Any:
    try:
        # JSON knows no dates and no binary, and upstream reads YAML as JSON: round off what YAML adds.
        return orjson.loads(orjson.dumps(_plain(yaml.load(body, Loader=_JSONLoader), 0)))
    except RecursionError:
        raise BadRequest("error converting YAML to JSON: exceeded max depth") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        raise BadRequest(f"error converting YAML to JSON: yaml: {said}") from None


class _JSONLoader(_Loader):  # type: ignore[misc]
    """YAML without timestamps: `2020-01-01` stays a string."""


_JSONLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _plain(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("exceeded max depth")
    if isinstance(value, dict):
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    return value


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else str(key)


def duplicates(body: bytes) -> list[str]:
    """Paths of object keys that come twice in a JSON body, e.g. `spec.replicas`; [] for none or for other bodies."""
    if not _may_repeat(body):
        return []
    found: list[str] = []
    try:
        tree = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return []
    _repeated(tree, "", found)
    return found


def _may_repeat(body: bytes) -> bool:
    """Cheap: compact re-encoding has as many `":` as the body unless a key (or a string with `":` in it) vanished."""
    try:
        again = orjson.dumps(orjson.loads(body))
    except orjson.JSONDecodeError:
        return False
    return again.count(b":") != body.count(b":")


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
