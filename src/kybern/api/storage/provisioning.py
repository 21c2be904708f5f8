"""What StorageClass and VolumeAttributesClass say alike: a driver's name and the parameters it is given."""

from __future__ import annotations

from kybern.api import names
from kybern.api.field import Errors
from kybern.api.types import Object

_MAX_PARAMETERS, _MAX_PARAMETERS_SIZE = 512, 256 * 1024


def validate_driver(name: str | None, path: str, errors: Errors) -> None:
    """A qualified name, in any case; required."""
    if not name:
        errors.required(path)
        return
    for problem in names.qualified_name(name.lower()):
        errors.invalid(path, name.lower(), problem)


def validate_parameters(parameters: Object | None, path: str, errors: Errors, *, needed: bool = False) -> None:
    """At most 512 parameters and 256 KiB of them, none without a name; `needed`: at least one."""
    parameters = parameters or {}
    if len(parameters) > _MAX_PARAMETERS:
        errors.too_long(path, _MAX_PARAMETERS)
        return
    if "" in parameters:
        errors.invalid(path, "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > _MAX_PARAMETERS_SIZE:
        errors.too_long(path, _MAX_PARAMETERS_SIZE)
    if needed and not parameters:
        errors.required(path, "must contain at least one key/value pair")
