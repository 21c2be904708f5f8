"""Rules of a device's capacities that several claims share (KEP-5075): which amounts may be asked for."""

from __future__ import annotations

from decimal import Decimal

from kybern.api.field import Errors
from kybern.api.quantity import parse
from kybern.api.types import Object

_MAX_VALUES = 10
_ONE_POLICY = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'


def check_capacity(capacity: Object, shared: bool, path: str, errors: Errors) -> None:
    """One capacity. `shared`: its device may be allocated several times."""
    policy, here = capacity.get("requestPolicy"), f"{path}.requestPolicy"
    if policy is None:
        return
    if not shared:
        errors.forbidden(here, "allowMultipleAllocations must be true")
        return
    values, bounds, default = policy.get("validValues"), policy.get("validRange"), policy.get("default")
    if values and bounds is not None:
        errors.forbidden(here, _ONE_POLICY)
        return
    for field, given in (("validValues", bool(values)), ("validRange", bounds is not None)):
        if given and default is None:
            errors.required(f"{here}.default", f"required when {field} is defined")
        elif given and field == "validValues":
            _check_values(values, default, capacity.get("value") or "0", f"{here}.{field}", errors)
        elif given:
            _check_range(bounds, default, capacity.get("value") or "0", f"{here}.{field}", errors)


def _check_values(values: list[str], default: str, most: str, path: str, errors: Errors) -> None:
    parsed = [parse(value) for value in values]
    for index in range(1, len(parsed)):
        if parsed[index - 1] > parsed[index]:
            errors.invalid(f"{path}[{index}]", str(values[index]), "values must be sorted in ascending order")
    if len(values) > _MAX_VALUES:
        errors.too_many(path, len(values), _MAX_VALUES)
        return
    for index, value in enumerate(parsed):
        if value > parse(most):
            errors.invalid(f"{path}[{index}]", str(values[index]), f"option is larger than capacity value: {most}")
        if value in parsed[:index]:
            errors.duplicate(f"{path}[{index}]", str(values[index]))
    if parse(default) not in parsed:
        errors.invalid(path, str(default), "default value is not valid according to the requestPolicy")


def _check_range(bounds: Object, default: str, most: str, path: str, errors: Errors) -> None:
    low, high, step = (bounds.get(key) for key in ("min", "max", "step"))
    if low is None:
        errors.required(f"{path}.min", "required when validRange is defined")
        return
    if parse(low) > parse(most):
        errors.invalid(f"{path}.min", str(low), f"min is larger than capacity value: {most}")
    if parse(default) < parse(low):
        errors.invalid(f"{path}.default", str(default), f"default is less than min: {low}")
    if high is not None:
        if parse(low) > parse(high):
            errors.invalid(f"{path}.max", str(low), f"min is larger than max: {high}")
        if parse(high) > parse(most):
            errors.invalid(f"{path}.max", str(high), f"max is larger than capacity value: {most}")
        if parse(default) > parse(high):
            errors.invalid(f"{path}.default", str(default), f"default is more than max: {high}")
    if step is not None:
        _check_steps(low, step, (default, high), most, f"{path}.step", errors)


def _check_steps(low: str, step: str, values: tuple[str | None, ...], most: str, path: str, errors: Errors) -> None:
    size, first = parse(step), parse(low)
    if size <= 0:
        errors.invalid(path, str(step), "must be greater than zero")
        return
    if first + size > parse(most):
        detail = f"one step {_text(first + size)} is larger than capacity value: {most}"
        errors.invalid(path, str(step), detail)
    for value in values:
        if value is not None and (parse(value) - first) % size:
            errors.invalid(path, str(value), f"value is not a multiple of a given step ({step}) from ({low})")


def _text(amount: Decimal) -> str:
    return format(amount.normalize(), "f")
