"""APIService, apiregistration.k8s.io/v1: who serves a group and version. Source: API reference, APIService v1."""

from __future__ import annotations

import base64

from kybern.api import names
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import AGE, METADATA, Column, Preparation, Resource
from kybern.api.types import Object
from kybern.process.clock import clock

AVAILABLE = "Available"
_STATUSES = ("True", "False", "Unknown")
_MAX_GROUP_PRIORITY, _MAX_VERSION_PRIORITY = 20000, 1000


def _service(obj: Object) -> str:
    service = at(obj, "spec", "service")
    return f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"


def _available(obj: Object) -> str:
    for condition in at(obj, "status", "conditions") or []:
        if condition.get("type") == AVAILABLE:
            status, reason = condition.get("status"), condition.get("reason")
            return f"{status} ({reason})" if reason and status != "True" else str(status)
    return "Unknown"


class APIService(Resource):
    group, kind, plural = "apiregistration.k8s.io", "APIService", "apiservices"
    versioned_updates = True
    categories = ("api-extensions",)
    namespaced = False
    has_status = True
    status_keeps = METADATA
    has_generation = False
    validates_name = "path_segment"
    storage_prefix = "apiregistration.k8s.io/apiservices"
    columns = (
        Column("Service", "string", _service, "The reference to the service that hosts this API endpoint."),
        Column("Available", "string", _available, "Whether this service is available."),
        AGE,
    )

    def default(self, obj: Object) -> None:
        service = obj.setdefault("spec", {}).get("service")
        if service is not None:
            service.setdefault("port", 443)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}
        if obj["spec"].get("service") is None:
            obj["status"] = {
                "conditions": [
                    {
                        "type": AVAILABLE,
                        "status": "True",
                        "lastTransitionTime": clock.stamp(),
                        "reason": "Local",
                        "message": "Local APIServices are always available",
                    }
                ]
            }

    def validate(self, obj: Object, errors: Errors) -> None:
        name, spec = obj["metadata"].get("name") or "", obj["spec"]
        group, version = spec.get("group") or "", spec.get("version") or ""
        if name and not names.path_segment(name) and name != f"{version}.{group}":
            errors.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{version}.{group}"')
        if not group and version != "v1":
            errors.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
        for problem in names.dns_subdomain(group) if group else []:
            errors.invalid("spec.group", group, problem)
        for problem in names.dns1035_label(version):
            errors.invalid("spec.version", version, problem)
        for key, limit in (("groupPriorityMinimum", _MAX_GROUP_PRIORITY), ("versionPriority", _MAX_VERSION_PRIORITY)):
            value = spec.get(key) or 0
            if not 0 < value <= limit:
                errors.invalid(f"spec.{key}", value, f"must be positive and less than {limit}")
        _check_service(spec, errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        for index, condition in enumerate(at(obj, "status", "conditions") or []):
            if condition.get("status") not in _STATUSES:
                path, value = f"status.conditions[{index}].status", condition.get("status") or ""
                errors.unsupported(path, value, _STATUSES, ordered=True)


def _check_service(spec: Object, errors: Errors) -> None:
    service, bundle, insecure = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    if service is None:
        if bundle:
            size = f"{len(base64.b64decode(bundle))} bytes"
            errors.invalid("spec.caBundle", size, "local APIServices may not have a caBundle")
        if insecure:
            detail = "local APIServices may not have insecureSkipTLSVerify"
            errors.invalid("spec.insecureSkipTLSVerify", insecure, detail)
        return
    for key in ("namespace", "name"):
        if not service.get(key):
            errors.required(f"spec.service.{key}")
    if insecure and bundle:
        errors.invalid("spec.insecureSkipTLSVerify", insecure, "may not be true if caBundle is present")
