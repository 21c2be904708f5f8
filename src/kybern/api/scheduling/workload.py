"""Workload, scheduling.k8s.io/v1alpha2: the groups of pods that an application has. Source: API reference; KEP-4671."""

from __future__ import annotations

from kybern.api import meta, names, validation
from kybern.api.core.podspec_checks import follows, required
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.scheduling.podgroups import validate_group
from kybern.api.types import Object

_MAX_TEMPLATES = 8


class Workload(Resource):
    group, kind, plural = "scheduling.k8s.io", "Workload", "workloads"
    versions = ("v1alpha2",)
    gate = "GenericWorkload"

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        templates, path = spec.get("podGroupTemplates") or [], "spec.podGroupTemplates"
        if not templates:
            errors.required(path, "must have at least one item")
        elif len(templates) > _MAX_TEMPLATES:
            errors.too_many(path, len(templates), _MAX_TEMPLATES)
        seen: set[str] = set()
        for index, template in enumerate(templates[:_MAX_TEMPLATES]):
            here, name = f"{path}[{index}]", template.get("name") or ""
            required(names.dns_label, name, f"{here}.name", errors)
            if name in seen:
                errors.duplicate(here, name)
            seen.add(name)
            validate_group(template, here, errors)
        controller = spec.get("controllerRef")
        if controller is not None:
            _check_controller(controller, "spec.controllerRef", errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        spec, before = obj["spec"], old["spec"]
        templates = "podGroupTemplates"
        validation.unchanged(spec.get(templates), before.get(templates), f"spec.{templates}", errors)
        controller = spec.get("controllerRef")
        if before.get("controllerRef") is None and controller is not None:
            _check_controller(controller, "spec.controllerRef", errors)
        elif not meta.same(controller, before.get("controllerRef")):
            errors.invalid("spec.controllerRef", controller, validation.IMMUTABLE)


def _check_controller(controller: Object, path: str, errors: Errors) -> None:
    if controller.get("apiGroup"):
        follows(names.dns_subdomain, controller["apiGroup"], f"{path}.apiGroup", errors)
    required(names.path_segment, controller.get("kind"), f"{path}.kind", errors)
    required(names.path_segment, controller.get("name"), f"{path}.name", errors)
