"""Rules of environment variables, and of the field references they share with downward API volumes.

Source: API reference, EnvVar v1, EnvFromSource v1; "Downward API"; KEP-3721 (variables from files).
"""

from __future__ import annotations

import re

from kybern.api import names, quantity
from kybern.api.core.podspec_checks import follows, no_backsteps, required
from kybern.api.field import Errors
from kybern.api.types import Object

ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_FIELDS = frozenset(
    (*ENV_FIELDS, "metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName",
     "status.phase")
)  # fmt: skip
_SUBSCRIPT = re.compile(r"(.+?)\['(.*)'\]", re.DOTALL)
_MAPS = ("metadata.annotations", "metadata.labels")
_RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_HUGE = ("limits.hugepages-", "requests.hugepages-")
_UNITS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ONE_SOURCE = (
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
)
_ONLY_ONE = "may not have more than one field specified at a time"


def validate_env(variables: list[Object], path: str, errors: Errors) -> None:
    """A container's env."""
    for index, variable in enumerate(variables):
        name = variable.get("name")
        if not name:
            errors.required(f"{path}[{index}].name")
        else:
            for problem in names.env_name(name):
                errors.invalid(f"{path}[{index}].name", name, problem)
        source = variable.get("valueFrom")
        if source is not None:
            _value_from(source, variable.get("value"), f"{path}[{index}].valueFrom", errors)


def validate_env_from(sources: list[Object], path: str, errors: Errors) -> None:
    """A container's envFrom."""
    for index, source in enumerate(sources):
        here = f"{path}[{index}]"
        if source.get("prefix"):
            follows(names.env_name, source["prefix"], f"{here}.prefix", errors)
        given = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        for key in given:
            required(names.dns_subdomain, source[key].get("name"), f"{here}.{key}.name", errors)
        if not given:
            errors.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            errors.invalid(path, "", _ONLY_ONE)


def validate_field_ref(reference: Object, fields: tuple[str, ...], path: str, errors: Errors) -> None:
    """A fieldRef that may name one of `fields`, or one label or annotation."""
    version, field = reference.get("apiVersion"), reference.get("fieldPath")
    if not version or not field:
        errors.required(f"{path}.fieldPath" if version else f"{path}.apiVersion")
        return
    problem = ""
    match = _SUBSCRIPT.fullmatch(field)
    if version != "v1":
        problem = f"unsupported pod version: {version}"
    elif match:
        if match[1] not in _MAPS:
            problem = f"field label does not support subscript: {field}"
    elif field == "spec.host":
        field = "spec.nodeName"
    elif field not in _FIELDS:
        problem = f"field label not supported: {field}"
    if problem:
        errors.invalid(f"{path}.fieldPath", field, f"error converting fieldPath: {problem}")
    elif match:
        key = match[2].lower() if match[1] == "metadata.annotations" else match[2]
        follows(names.qualified_name, key, path, errors)
    elif field not in fields:
        errors.unsupported(f"{path}.fieldPath", field, fields)


def validate_resource_ref(reference: Object, path: str, errors: Errors, *, volume: bool) -> None:
    """A resourceFieldRef. In a volume it must name its container."""
    resource = reference.get("resource") or ""
    if volume and not reference.get("containerName"):
        errors.required(f"{path}.containerName")
    elif not resource:
        errors.required(f"{path}.resource")
    elif resource not in _RESOURCES and not resource.startswith(_HUGE):
        errors.unsupported(f"{path}.resource", resource, _RESOURCES)
    divisor = reference.get("divisor")
    if divisor is not None and quantity.parse(divisor):
        _divisor(resource, quantity.canonical(divisor), f"{path}.divisor", errors)


def _divisor(resource: str, divisor: str, path: str, errors: Errors) -> None:
    if resource.endswith(".cpu"):
        if divisor not in ("1m", "1"):
            errors.invalid(path, resource, "only divisor's values 1m and 1 are supported with the cpu resource")
        return
    kinds = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}
    kind = "hugepages" if resource.startswith(_HUGE) else kinds.get(resource.partition(".")[2], "")
    if kind and divisor not in _UNITS:
        detail = f"only divisor's values {', '.join(_UNITS)} are supported with the {kind} resource"
        errors.invalid(path, resource, detail)


def _value_from(source: Object, value: str | None, path: str, errors: Errors) -> None:
    given = [key for key in _SOURCES if source.get(key) is not None]
    for key in given:
        reference, here = source[key], f"{path}.{key}"
        if key == "fieldRef":
            validate_field_ref(reference, ENV_FIELDS, here, errors)
        elif key == "resourceFieldRef":
            validate_resource_ref(reference, here, errors, volume=False)
        elif key == "fileKeyRef":
            _file_key(reference, here, errors)
        else:
            follows(names.dns_subdomain, reference.get("name") or "", f"{here}.name", errors)
            required(names.config_key, reference.get("key"), f"{here}.key", errors)
    if not given:
        errors.invalid(path, "", _ONE_SOURCE)
    elif value:
        errors.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        errors.invalid(path, "", _ONLY_ONE)


def _file_key(reference: Object, path: str, errors: Errors) -> None:
    required(names.env_name, reference.get("key"), f"{path}.key", errors)
    required(names.dns_label, reference.get("volumeName"), f"{path}.volumeName", errors)
    if reference.get("path"):
        no_backsteps(reference["path"], f"{path}.path", errors)
    else:
        errors.required(f"{path}.path")
