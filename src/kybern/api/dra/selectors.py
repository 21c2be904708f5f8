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
_MAX_SELECTORS, _MAX_LENGTH = 32, 10 * 1024


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
    from kybern.api.cel.program import ExpressionError, compiled

    try:
        result = compiled(expression, _DEVICE, extensions=("bindings",)).result
    except ExpressionError as error:
        errors.invalid(path, expression, str(error))
        return
    if result not in ("bool", "dyn"):
        errors.invalid(path, expression, f"must evaluate to bool or the unknown type, not {result}")
