"""What a pod's status may say of devices: the claim made for its extended resources, and the health of what its
containers were given.

Source: API reference, PodExtendedResourceClaimStatus v1, ResourceStatus v1; KEP-5004 (extended resources from claims),
KEP-4680 (health).
"""

from __future__ import annotations

from collections.abc import Iterator

from kybern.api import names
from kybern.api.core.podspec_checks import follows, required, supported
from kybern.api.field import Errors
from kybern.api.types import Object

_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_MESSAGE_LENGTH = 1024
_CLAIM = "claim:"
_WITH_RESOURCES = {"containerStatuses": "containers", "initContainerStatuses": "initContainers"}


def validate_devices(status: Object, spec: Object, errors: Errors) -> None:
    """The status of a pod with that spec."""
    if status.get("extendedResourceClaimStatus") is not None:
        _extended(status["extendedResourceClaimStatus"], spec, "status.extendedResourceClaimStatus", errors)
    for field, containers in _WITH_RESOURCES.items():
        by_name = {container.get("name"): container for container in spec.get(containers) or ()}
        for index, one in enumerate(status.get(field) or ()):
            for number, resource in enumerate(one.get("allocatedResourcesStatus") or ()):
                here = f"status.{field}[{index}].allocatedResourcesStatus[{number}]"
                container = by_name.get(one.get("name"))
                if container is not None:
                    _known(resource.get("name") or "", container, status, f"{here}.name", errors)
                _health(resource.get("resources") or [], f"{here}.resources", errors)
    for index, one in enumerate(status.get("ephemeralContainerStatuses") or ()):
        if one.get("allocatedResourcesStatus"):
            here = f"status.ephemeralContainerStatuses[{index}].allocatedResourcesStatus"
            errors.forbidden(here, "must not be specified in container status")


def _extended(claim: Object, spec: Object, path: str, errors: Errors) -> None:
    containers = {c.get("name"): c for field in ("initContainers", "containers") for c in spec.get(field) or ()}
    mappings, seen = claim.get("requestMappings") or [], set[tuple[str, ...]]()
    if not mappings:
        errors.required(f"{path}.requestMappings", "at least one request mapping is required")
    fields = ("containerName", "resourceName", "requestName")
    for index, mapping in enumerate(mappings):
        here, key = f"{path}.requestMappings[{index}]", tuple(mapping.get(field) or "" for field in fields)
        name, resource, request = key
        where = "spec.initContainers{0} or spec.containers{0}"
        if name not in containers:
            detail = f"must match the name of an entry in {where.format('.name')}"
            errors.invalid(f"{here}.containerName", name, detail)
        elif resource not in _requests(containers[name]):
            detail = f"must match the extended resource name of an entry in {where.format('.resources.requests')}"
            errors.invalid(f"{here}.resourceName", resource, detail)
        # Upstream leaves the index out of this path.
        follows(names.dns_label, request, f"{path}.requestName", errors)
        if key in seen:
            for field, value in zip(fields, key, strict=True):
                errors.duplicate(f"{here}.{field}", value)
        seen.add(key)
    required(names.dns_subdomain, claim.get("resourceClaimName"), f"{path}.resourceClaimName", errors)


def _requests(container: Object) -> Object:
    found: Object = (container.get("resources") or {}).get("requests") or {}
    return found


def _known(name: str, container: Object, status: Object, path: str, errors: Errors) -> None:
    """The resource is one that the container asks for."""
    if not name.startswith(_CLAIM):
        if name not in _requests(container):
            errors.invalid(path, name, "must match one of the container's resource requests")
    elif name not in _claims(container, status):
        detail = (
            "must match one of the container's resource claims in a format "
            "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
        )
        errors.invalid(path, name, detail)


def _claims(container: Object, status: Object) -> Iterator[str]:
    for claim in (container.get("resources") or {}).get("claims") or ():
        request = claim.get("request")
        yield f"{_CLAIM}{claim.get('name')}/{request}" if request else f"{_CLAIM}{claim.get('name')}"
    made = status.get("extendedResourceClaimStatus") or {}
    for mapping in made.get("requestMappings") or ():
        if mapping.get("containerName") == container.get("name"):
            yield f"{_CLAIM}{made.get('resourceClaimName')}/{mapping.get('requestName')}"


def _health(devices: list[Object], path: str, errors: Errors) -> None:
    seen: set[str] = set()
    for index, device in enumerate(devices):
        supported(device.get("health"), _HEALTH, f"{path}[{index}].health", errors)
        message, here = device.get("message"), f"{path}[{index}].message"
        if message == "":
            errors.required(here, "must be non-empty if specified")
        elif message is not None and len(message.encode()) > _MESSAGE_LENGTH:
            errors.too_long(here, _MESSAGE_LENGTH)
        identity = device.get("resourceID") or ""
        if identity in seen:
            errors.duplicate(f"{path}[{index}].resourceID", identity)
        seen.add(identity)
