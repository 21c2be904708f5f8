"""Makes objects with every field filled, from the kind's OpenAPI schema.

Where fields exclude each other or go together (`turns.py`), a list gets one item of each kind; elsewhere the n-th
variant of an object takes the n-th choice. What the schema doesn't say of values, `values.py` does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

from kybern.api import schema
from tests.integration.apiserver.turns import TURNS
from tests.integration.apiserver.values import AFTERWARDS, BY_FIELD, BY_NAME, NEVER

Json: TypeAlias = Any
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "1",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": 1,
    f"{_META}Time": "2030-01-02T03:04:05Z",
    f"{_META}MicroTime": "2030-01-02T03:04:05.000006Z",
    f"{_META}FieldsV1": {},
    "io.k8s.apimachinery.pkg.runtime.RawExtension": {"apiVersion": "example.com/v1", "kind": "Free", "of": ["all"]},
}


@lru_cache(maxsize=1)
def definitions() -> dict[str, Json]:
    return schema.raw_definitions()


@lru_cache(maxsize=1)
def by_kind() -> dict[tuple[str, str, str], str]:
    """(group, version, kind) -> the name of the definition."""
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, one in definitions().items()
        for gvk in one.get("x-kubernetes-group-version-kind", ())
    }


def short(definition: str) -> str:
    """`core.v1.Container` of `io.k8s.api.core.v1.Container`."""
    return ".".join(definition.rsplit(".", 3)[1:])


def variants(definition: str) -> int:
    """How many objects it takes until each field was filled in one."""
    return max((len(TURNS.get(short(name), ())) for name in _taking_turns(definition, ())), default=1) or 1


def _taking_turns(definition: str, above: tuple[str, ...], *, listed: bool = False) -> Iterator[str]:
    if not listed:
        yield definition
    for field, part in definitions()[definition].get("properties", {}).items():
        if _given(short(definition), field) is not None:
            continue
        inner = part.get("items") or part.get("additionalProperties") or part
        target = inner.get("$ref", "").rpartition("/")[2]
        if target in definitions() and target not in (*above, *_SPECIAL, f"{_META}ObjectMeta"):
            yield from _taking_turns(target, (*above, definition), listed=inner is not part)


def filled(definition: str, variant: int = 0) -> Json:
    """An object of the definition. Metadata is left to the caller."""
    return _struct(definition, variant, (), variant)


def _given(owner: str, field: str) -> Json:
    for key in (f"{owner}.{field}", f"*.{field}"):
        if key in BY_FIELD:
            return BY_FIELD[key]
    return None


def _struct(definition: str, variant: int, above: tuple[str, ...], turn: int) -> Json:
    if definition in _SPECIAL:
        return copy.deepcopy(_SPECIAL[definition])
    owner, found = short(definition), definitions()[definition]
    if "properties" not in found:
        return _value(found, "", variant, above)
    turns = TURNS.get(owner) or [{}]
    chosen = turns[turn % len(turns)]
    excluded = {field for one in turns for field in one} - chosen.keys()
    made = {}
    for field, part in found["properties"].items():
        if field in excluded or f"{owner}.{field}" in NEVER:
            continue
        value = chosen.get(field, ...)
        if value is ...:
            value = _given(owner, field)
        if value is None and part.get("$ref", "").endswith("meta.v1.ObjectMeta"):
            continue
        value = copy.deepcopy(value) if value is not None else _value(part, field, variant, (*above, definition))
        if value is not None:
            made[field] = value
    if owner in AFTERWARDS:
        AFTERWARDS[owner](made, variant)
    return made


def _value(part: Json, field: str, variant: int, above: tuple[str, ...]) -> Json:
    if "$ref" in part:
        target = part["$ref"].rpartition("/")[2]
        return None if target in above else _struct(target, variant, above, variant)
    kind = part.get("type")
    kind = next((one for one in kind if one != "null"), "") if isinstance(kind, list) else kind
    if kind == "array":
        return _items(part["items"], field, variant, above)
    if kind == "object":
        if "additionalProperties" not in part:
            return {}
        values = _items(part["additionalProperties"], field, variant, above)
        return None if values is None else {f"key{place}": value for place, value in enumerate(values)}
    if kind == "boolean":
        return True
    if kind in ("integer", "number"):
        return 1
    if part.get("format") == "byte":
        return "AAEC"
    return BY_NAME.get(field, f"{field}-text".lower())


def _items(part: Json, field: str, variant: int, above: tuple[str, ...]) -> Json:
    target = part.get("$ref", "").rpartition("/")[2]
    turns = TURNS.get(short(target))
    if target in above:
        return None
    if not turns:
        value = _value(part, field, variant, above)
        return None if value is None else [value]
    made = [_struct(target, variant, above, turn) for turn in range(len(turns))]
    for turn, item in enumerate(made):
        if "name" in item and "name" not in turns[turn]:
            item["name"] = f"{item['name']}-{turn}"
    return made


def named_fields(definition: str) -> set[str]:
    """The fields of a definition and of all below it: `core.v1.Container.image`."""
    found: set[str] = set()
    open_, seen = [definition], set()
    while open_:
        name = open_.pop()
        if name in seen or name in _SPECIAL or name == f"{_META}ObjectMeta":
            continue
        seen.add(name)
        for field, part in definitions()[name].get("properties", {}).items():
            if f"{short(name)}.{field}" in NEVER:
                continue
            found.add(f"{short(name)}.{field}")
            inner = part.get("items") or part.get("additionalProperties") or part
            open_ += [inner["$ref"].rpartition("/")[2]] if "$ref" in inner else []
    return found


def fields_of(obj: Json, definition: str) -> set[str]:
    """Which of `named_fields` an object has."""
    found: set[str] = set()
    if definition in _SPECIAL or not isinstance(obj, dict):
        return found
    for field, value in obj.items():
        part = definitions()[definition].get("properties", {}).get(field)
        if part is None:
            continue
        found.add(f"{short(definition)}.{field}")
        inner = part.get("items") or part.get("additionalProperties") or part
        values = value if "items" in part else list(value.values()) if "additionalProperties" in part else [value]
        for one in values if "$ref" in inner else ():
            found |= fields_of(one, inner["$ref"].rpartition("/")[2])
    return found


def lacking(sent: Json, got: Json, path: str = "") -> list[str]:
    """The paths at which what was sent is not in the answer."""
    if isinstance(sent, dict) and isinstance(got, dict):
        return [lost for key, value in sent.items() for lost in lacking(value, got.get(key), f"{path}.{key}")]
    if isinstance(sent, list) and isinstance(got, list) and len(sent) == len(got):
        return [lost for place, value in enumerate(sent) for lost in lacking(value, got[place], f"{path}[{place}]")]
    return [] if sent == got else [f"{path}: {sent!r} became {got!r}"]
