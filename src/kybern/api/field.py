"""Field errors: what validation says about one field, in upstream's words.

`errors = Errors(); errors.required("spec.containers", "")`; paths are dotted, lists as `[0]`, map keys as `[key]`.
Source: API reference, StatusCause; message shapes are upstream's (`spec.x: Invalid value: "y": why`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

_TEXT = {
    "FieldValueRequired": "Required value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueNotFound": "Not found",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueTypeInvalid": "Invalid value",
    "InternalError": "Internal error",
}
OMITTED = object()
"""The value of an error that shows none."""
_NO_VALUE = {"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One complaint. `type` is the StatusCause reason; `value` is shown as upstream shows it."""

    type: str
    path: str
    value: Any
    detail: str

    def body(self) -> str:
        """The message without the path."""
        text = _TEXT[self.type]
        if self.type not in _NO_VALUE and self.value is not OMITTED:
            text += f": {shown(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.path}: {self.body()}"


def shown(value: Any) -> str:
    """A value as upstream prints it: strings quoted, numbers bare, structures as JSON."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return orjson.dumps(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return orjson.dumps(value).decode()


class Errors(list[FieldError]):
    """A list that collects complaints; empty means valid."""

    warnings: tuple[str, ...] = ()
    """What was complained of before and has not changed, for `Warning:` headers."""

    def required(self, path: str, detail: str = "") -> None:
        self.append(FieldError("FieldValueRequired", path, None, detail))

    def invalid(self, path: str, value: Any, detail: str) -> None:
        self.append(FieldError("FieldValueInvalid", path, value, detail))

    def unsupported(self, path: str, value: Any, supported: Iterable[str], *, ordered: bool = False) -> None:
        """`ordered`: the values are named in the order given, as upstream does where it has a list of them."""
        names = ", ".join(f'"{name}"' for name in (supported if ordered else sorted(supported)))
        self.append(FieldError("FieldValueNotSupported", path, value, f"supported values: {names}" if names else ""))

    def forbidden(self, path: str, detail: str) -> None:
        self.append(FieldError("FieldValueForbidden", path, None, detail))

    def duplicate(self, path: str, value: Any, detail: str = "") -> None:
        self.append(FieldError("FieldValueDuplicate", path, value, detail))

    def not_found(self, path: str, value: Any) -> None:
        self.append(FieldError("FieldValueNotFound", path, value, ""))

    def too_long(self, path: str, limit: int) -> None:
        self.append(FieldError("FieldValueTooLong", path, None, f"may not be more than {limit} bytes"))

    def too_many(self, path: str, count: int, limit: int) -> None:
        self.append(FieldError("FieldValueTooMany", path, count, f"must have at most {limit} items"))

    def type_invalid(self, path: str, value: Any, detail: str) -> None:
        self.append(FieldError("FieldValueTypeInvalid", path, value, detail))
