"""Small readers that printer columns share. All give "" or 0 where the object lacks the field; none raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kybern.api import selectors
from kybern.api.resource import Column
from kybern.api.types import Object


def at(obj: Any, *path: str) -> Any:
    """The value at a path of keys, None where there is none."""
    for key in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(key)
    return obj


def text(*path: str, default: str = "") -> Callable[[Object], str]:
    """A cell: the string at a path."""
    return lambda obj: str(at(obj, *path) or default)


def number(*path: str) -> Callable[[Object], int]:
    """A cell: the integer at a path, 0 without one."""
    return lambda obj: int(at(obj, *path) or 0)


def size(*paths: str) -> Callable[[Object], int]:
    """A cell: how many entries the top-level fields named have together."""
    return lambda obj: sum(len(obj.get(path) or ()) for path in paths)


def labels(pairs: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, sorted; `<none>` when empty."""
    return ",".join(f"{key}={value}" for key, value in sorted(pairs.items())) if pairs else "<none>"


def selector(found: Object | None) -> str:
    """A LabelSelector in the query language: `a=b,c in (d,e),!f`; `<none>` when empty."""
    try:
        return str(selectors.from_object(found)) or "<none>"
    except selectors.SelectorError:
        return "<error>"


def some(items: list[str], limit: int, empty: str, separator: str = ",") -> str:
    """The first `limit` items joined, and how many more there are; `empty` for none."""
    if not items:
        return empty
    shown = separator.join(items[:limit])
    return f"{shown} + {len(items) - limit} more..." if len(items) > limit else shown


def created_at(obj: Object) -> str:
    """The RFC 3339 creation time."""
    return str(obj["metadata"].get("creationTimestamp") or "")


CREATED_AT = Column("Created At", "date", created_at)


def container_columns(*template: str) -> tuple[Column, Column]:
    """The wide columns Containers and Images of a workload whose pod template is at the path given."""

    def joined(key: str) -> Callable[[Object], str]:
        return lambda obj: ",".join(str(c.get(key, "")) for c in at(obj, *template, "spec", "containers") or [])

    return (
        Column("Containers", "string", joined("name"), "Names of each container in the template.", 1),
        Column("Images", "string", joined("image"), "Images referenced by each container in the template.", 1),
    )


CONTAINERS = container_columns("spec", "template")


def access_modes(modes: list[str] | None) -> str:
    """`RWO,RWX`: the short forms of volume access modes, in upstream's order, each once."""
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in (modes or []))


_ACCESS_MODES = {
    "ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP",
}  # fmt: skip
