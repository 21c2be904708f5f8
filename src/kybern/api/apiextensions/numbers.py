"""Numbers against a structural schema: the range of their type and format, bounds, and multiples.

The bounds themselves must fit the type, too: a field of format int32 whose maximum is that of an uint32 takes no value
at all, here as upstream. Source: API reference, JSONSchemaProps v1 apiextensions.k8s.io; messages are upstream's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from kybern.api.apiextensions import formats
from kybern.api.field import Errors
from kybern.api.types import Object

_BITS = {"int32": 31, "int64": 63, "": 63}
_LARGEST_FLOAT = (2 - 2**-23) * 2.0**127


def check(schema: Object, value: float, path: str, errors: Errors) -> None:
    """Complain of a number beyond its bounds, and of one that is no multiple."""
    least, most, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if step and not math.isclose(value / step, round(value / step)):
        errors.invalid(path, value, f"{path} in body should be a multiple of {step}")
    if least is not None:
        if schema.get("exclusiveMinimum") and value <= least:
            errors.invalid(path, value, f"{path} in body should be greater than {least}")
        elif value < least:
            errors.invalid(path, value, f"{path} in body should be greater than or equal to {least}")
    if most is not None:
        if schema.get("exclusiveMaximum") and value >= most:
            errors.invalid(path, value, f"{path} in body should be less than {most}")
        elif value > most:
            errors.invalid(path, value, f"{path} in body should be less than or equal to {most}")


def out_of_range(schema: Object, value: float, path: str) -> Iterator[str]:
    """What of a number, and of what bounds it, doesn't fit its type and format."""
    kind, form = str(schema.get("type")), schema.get("format") or ""
    if form not in formats.NUMERIC.get(kind, ()):
        form = ""  # it means nothing
    if kind != "integer" and form != "float":
        return
    where = f"with format {form} in {path}" if form else f"(default format) in {path}"
    named = (("MultipleOf", "multipleOf"), ("Minimum boundary", "minimum"), ("Maximum boundary", "maximum"))
    for what, number in (("Checked", value), *((what, schema.get(field)) for what, field in named)):
        if number is not None and not _fits(number, form):
            yield f"{what} value must be of type {kind} {where}"


def _fits(number: float, form: str) -> bool:
    if form == "float":
        return abs(number) <= _LARGEST_FLOAT
    return number == math.floor(number) and -(1 << _BITS[form]) <= number < 1 << _BITS[form]
