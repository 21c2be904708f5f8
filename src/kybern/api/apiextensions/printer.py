"""A CRD's additionalPrinterColumns as columns of `kubectl get`.

Source: Extend the API with CustomResourceDefinitions, "Additional printer columns".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from kybern.api import durations
from kybern.api.apiextensions import jsonpath
from kybern.api.resource import AGE, Column
from kybern.api.types import Object


def columns(version: Object) -> tuple[Column, ...]:
    """The columns of one version of a CRD, without the name; Age where it names none."""
    return tuple(_column(said) for said in version.get("additionalPrinterColumns") or []) or (AGE,)


def _column(said: Object) -> Column:
    path = said["jsonPath"]
    shown = f"Custom resource definition column (in JSONPath format): {path}"
    cell = _cell(path, said["type"])
    described = said.get("description") or shown
    return Column(said["name"], said["type"], cell, described, said.get("priority") or 0, said.get("format") or "")


def _cell(path: str, kind: str) -> Callable[[Object], Any]:
    compiled, show = jsonpath.compiled(path), _SHOW[kind]

    def cell(obj: Object) -> Any:
        found = compiled.find(obj)
        return show(found[0]) if found and found[0] is not None else None

    return cell


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _string(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _date(value: Any) -> str | None:
    """An age."""
    if not isinstance(value, str):
        return None
    try:
        return durations.since(value)
    except ValueError:
        return "<invalid>"


_SHOW: dict[str, Callable[[Any], Any]] = {
    "integer": _integer, "number": _number, "boolean": _boolean, "string": _string, "date": _date,
}  # fmt: skip
