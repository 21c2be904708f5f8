"""Device selectors: CEL over one device. Source: API reference, CELDeviceSelector v1 resource.k8s.io."""

from __future__ import annotations

from kybern.api.dra import checks
from kybern.api.field import Errors
from kybern.api.types import Object

_DEVICE = {
    "device.driver": "string",
    "device.attributes": "map<string, map<string, dyn>>",
    "device.capacity": "map<string, map<string, Quantity>>",
    "device.allowMultipleAllocations": "bool",
}
"""What an expression knows of a device: attributes and capacities by domain and name."""
_MAX_SELECTORS, _MAX_LENGTH, _MAX_COST = 32, 10 * 1024, 1_000_000


def _mapped(inner: Object) -> Object:
    return {"type": "object", "maxProperties": 32, "additionalProperties": inner}


def _string(most: int) -> Object:
    """Of so many bytes, for the estimate of costs."""
    return {"type": "string", "format": "byte", "maxLength": most}


_SIZES = {
    "device.driver": _string(63),
    "device.attributes": _mapped(_mapped(_string(64))),
    "device.capacity": _mapped(_mapped({})),
}


def check_selectors(selectors: list[Object] | None, path: str, errors: Errors, *, stored: bool = False) -> None:
    """At most 32 expressions that compile. Those that are `stored` already did."""

    def check(selector: Object, where: str, errors: Errors) -> None:
        cel = selector.get("cel")
        if cel is None:
            errors.required(f"{where}.cel")
        elif not stored:
            _check_expression(cel.get("expression") or "", f"{where}.cel.expression", errors)

    checks.each(selectors, _MAX_SELECTORS, check, path, errors)


def _check_expression(expression: str, path: str, errors: Errors) -> None:
    if len(expression.encode()) > _MAX_LENGTH:
        errors.too_long(path, _MAX_LENGTH)
        return
    # CEL is not loaded by servers where no device is selected.
    from kybern.api.cel.cost import estimate_with
    from kybern.api.cel.program import ExpressionError, compiled

    try:
        program = compiled(expression, _DEVICE, extensions=("bindings",))
    except ExpressionError as error:
        errors.invalid(path, expression, str(error))
        return
    if program.result not in ("bool", "dyn"):
        errors.invalid(path, expression, f"must evaluate to bool or the unknown type, not {program.result}")
    elif estimate_with(program.tree, _SIZES) > _MAX_COST:
        errors.forbidden(path, "too complex, exceeds cost limit")
