"""Request bodies to objects: JSON, YAML, protobuf; bounded depth; what comes twice in them."""

from __future__ import annotations

import json
from typing import Any

import orjson

from kybern.api import protobuf
from kybern.api.errors import BadRequest, UnsupportedMediaType
from kybern.api.types import Object

JSON = "application/json"
YAML = "application/yaml"
MAX_DEPTH = 128
"""Deepest nesting taken: far beyond any real object, far below what recursion bears."""


def decode(body: bytes, content_type: str = JSON) -> Object:
    """The object in a request's body. Raises BadRequest (malformed, not an object, too deep), UnsupportedMediaType."""
    media = content_type.partition(";")[0].strip().lower() or JSON
    if media == protobuf.MEDIA_TYPE:
        return protobuf.decode(body)
    if media == JSON or media.endswith("+json"):
        decoded = _json(body)
    elif media == YAML or media.endswith("+yaml"):
        decoded = _json_of_yaml(body)
        if decoded is None:
            from kybern.api import yaml_bodies

            decoded = yaml_bodies.decode(body)
    else:
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {JSON}, {YAML}, "
            f"{protobuf.MEDIA_TYPE}"
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


def duplicates(body: bytes, content_type: str, decoded: Any) -> list[str]:
    """Complaints of object keys that come twice in a body, of which `decoded` was made and not yet changed."""
    media = content_type.partition(";")[0].strip().lower() or JSON
    if media == protobuf.MEDIA_TYPE:
        return []
    # Cheap: encoded again it has as many colons, unless a key vanished (or something was written in another way).
    if orjson.dumps(decoded).count(b":") == body.count(b":"):
        return []
    if media.endswith("yaml"):
        from kybern.api import yaml_bodies

        return yaml_bodies.duplicates(body)
    return _json_duplicates(body)


def _json_duplicates(body: bytes) -> list[str]:
    found: list[str] = []
    try:
        tree = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return []
    _repeated(tree, "", found)
    return [f'duplicate field "{path}"' for path in found]


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
