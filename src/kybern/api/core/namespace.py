"""Namespace, v1. Its `finalize` subresource takes the finalizers of spec. Source: API reference, Namespace v1 core."""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import names
from kybern.api.cells import at, text
from kybern.api.field import Errors
from kybern.api.meta import is_standard_finalizer
from kybern.api.resource import AGE, Column, Preparation, Resource, Subresource
from kybern.api.types import Object

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"


class Namespace(Resource):
    kind, plural = "Namespace", "namespaces"
    short_names = ("ns",)
    namespaced = False
    verbs = ("create", "delete", "get", "list", "patch", "update", "watch")
    has_status = True
    has_generation = False
    validates_name = "dns_label"
    subresources = (Subresource("finalize", "Namespace", verbs=("update",)),)
    columns = (Column("Status", "string", text("status", "phase"), "The status of the namespace"), AGE)
    selectable_fields = ("status.phase", "name")

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {"status.phase": at(obj, "status", "phase") or "", "name": obj["metadata"].get("name", "")}

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        name = obj["metadata"].get("name")
        if name:
            obj["metadata"].setdefault("labels", {})[NAME_LABEL] = name

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"phase": "Active"}
        finalizers = obj["spec"].setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        self.default(obj)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if prep.subresource != "finalize":
            finalizers = at(old, "spec", "finalizers")
            obj["spec"] = {**(obj.get("spec") or {}), "finalizers": finalizers} if finalizers else {}
        if prep.subresource != "status":
            obj["status"] = old.get("status") or {}

    def validate(self, obj: Object, errors: Errors) -> None:
        name, label = obj["metadata"].get("name"), at(obj, "metadata", "labels", NAME_LABEL)
        if name and label != name:
            errors.invalid(f"metadata.labels[{NAME_LABEL}]", label or "", f"must equal {name}")
        for finalizer in at(obj, "spec", "finalizers") or []:
            _check_finalizer(finalizer, "spec.finalizers", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        phase = at(obj, "status", "phase") or ""
        if obj["metadata"].get("deletionTimestamp"):
            if phase != "Terminating":
                errors.invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")
        elif phase != "Active":
            errors.invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")


def _check_finalizer(name: str, path: str, errors: Errors) -> None:
    for problem in names.qualified_name(name):
        errors.invalid(path, name, problem)
    if "/" not in name and name != FINALIZER and not is_standard_finalizer(name):
        errors.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")
