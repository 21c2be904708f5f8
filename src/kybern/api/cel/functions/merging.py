"""What `==` and `+` of lists whose order says nothing are made of; ../listtypes.py writes them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from kybern.api.cel.declared import function
from kybern.api.cel.instants import outward

SORTED, UNION = "@sorted", "@union"
_SORTED = orjson.OPT_SORT_KEYS


@lru_cache(maxsize=1024)
def _shape(text: str) -> Any:
    return orjson.loads(text)


def _key(item: Any, keys: list[str]) -> bytes:
    """What tells items apart: their keys, or all of them."""
    found = [item.get(key) for key in keys] if keys and isinstance(item, dict) else item
    return orjson.dumps(found, option=_SORTED, default=str)


def _sorted(shape: Any, value: Any) -> Any:
    """A value with all such lists in one order."""
    if isinstance(value, dict):
        properties, values = shape.get("p") or {}, shape.get("v")
        return {
            name: _sorted(inner, part) if (inner := properties.get(name, values)) is not None else part
            for name, part in value.items()
        }
    if not isinstance(value, list):
        return value
    items = shape.get("i")
    made = value if items is None else [_sorted(items, item) for item in value]
    return made if "k" not in shape else sorted(made, key=lambda item: _key(item, shape["k"]))


def _union(keys: list[str], left: list[Any], right: list[Any]) -> list[Any]:
    """The left's items in their places, replaced by the right's of the same key; then the right's others."""
    made = {_key(item, keys): item for item in left}
    for item in right:
        key = _key(item, keys)
        if keys or key not in made:
            made[key] = item
    return list(outward(list(made.values())))


FUNCTIONS = (
    function(SORTED, ["string", "dyn"], "dyn", lambda text, value: outward(_sorted(_shape(text), value))),
    function(UNION, ["list", "list", "list"], "list", _union),
)
