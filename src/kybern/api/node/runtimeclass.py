"""RuntimeClass, node.k8s.io/v1. Source: API reference, RuntimeClass v1 node.k8s.io."""

from __future__ import annotations

from kybern.api import meta, names, validation
from kybern.api.cells import text
from kybern.api.core.node_labels import DEPRECATED
from kybern.api.core.resources_validation import validate_overhead
from kybern.api.core.scheduling_validation import validate_tolerations
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object


class RuntimeClass(Resource):
    group, kind, plural = "node.k8s.io", "RuntimeClass", "runtimeclasses"
    creates_on_update = True
    versioned_updates = True
    namespaced = False
    has_generation = False
    columns = (Column("Handler", "string", text("handler")), AGE)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        for label in (obj.get("scheduling") or {}).get("nodeSelector") or ():
            if label in DEPRECATED:
                prep.warnings.append(f"scheduling.nodeSelector: {DEPRECATED[label]}")

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        self.prepare_create(obj, prep)

    def validate(self, obj: Object, errors: Errors) -> None:
        handler, scheduling = obj.get("handler") or "", obj.get("scheduling") or {}
        for problem in names.dns_label(handler):
            errors.invalid("handler", handler, problem)
        validate_overhead((obj.get("overhead") or {}).get("podFixed") or {}, "overhead", errors)
        meta.validate_labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector", errors)
        validate_tolerations(scheduling.get("tolerations") or [], "scheduling.tolerations", errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj.get("handler"), old.get("handler"), "handler", errors)
