"""CustomResourceDefinition, apiextensions.k8s.io/v1.

crd_validation.py and schema_rules.py have its rules, custom.py what a definition makes. Conditions and accepted names
in status are the server's to set.

Source: API reference, CustomResourceDefinition v1 apiextensions.k8s.io.
"""

from __future__ import annotations

from kybern.api.admissionregistration import clients
from kybern.api.apiextensions import crd_validation, formats
from kybern.api.cells import CREATED_AT, at
from kybern.api.field import Errors
from kybern.api.resource import METADATA, Preparation, Resource
from kybern.api.types import Object

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def storage_version(crd: Object) -> str:
    """The version marked as stored."""
    return next((str(v.get("name")) for v in at(crd, "spec", "versions") or [] if v.get("storage")), "")


def has_condition(crd: Object, kind: str) -> bool:
    """Whether a condition of status, e.g. "Established", is True."""
    return any(c.get("type") == kind and c.get("status") == "True" for c in at(crd, "status", "conditions") or [])


class CustomResourceDefinition(Resource):
    group, kind, plural = "apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions"
    versioned_updates = True
    short_names = ("crd", "crds")
    categories = ("api-extensions",)
    namespaced = False
    has_status = True
    status_keeps = METADATA
    storage_prefix = "apiextensions.k8s.io/customresourcedefinitions"
    columns = (CREATED_AT,)

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        names = spec.setdefault("names", {})
        if not names.get("singular"):
            names["singular"] = str(names.get("kind") or "").lower()
        if not names.get("listKind") and names.get("kind"):
            names["listKind"] = f"{names['kind']}List"
        conversion = spec.setdefault("conversion", {})
        conversion["strategy"] = conversion.get("strategy") or "None"
        clients.default(at(conversion, "webhook", "clientConfig"))

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        accepted = {"plural": "", "kind": ""}
        stored = [storage_version(obj)]
        obj["status"] = {"conditions": [], "acceptedNames": accepted, "storedVersions": stored}
        prep.warnings += _warnings(obj, {})

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if prep.subresource == "status":
            return
        prep.warnings += _warnings(obj, old)
        stored = list(at(obj, "status", "storedVersions") or [])
        now = storage_version(obj)
        if now and now not in stored:
            obj.setdefault("status", {})["storedVersions"] = [*stored, now]

    def validate(self, obj: Object, errors: Errors) -> None:
        crd_validation.validate(obj, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        crd_validation.validate(obj, errors, old)
        self.validate_update(obj, old, errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        crd_validation.validate_update(obj, old, errors, established=has_condition(old, "Established"))

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        crd_validation.validate_stored_versions(obj, errors)


def _warnings(obj: Object, old: Object) -> list[str]:
    """About formats that mean nothing, and weren't there before."""
    new, before = (
        [
            form
            for version in at(crd, "spec", "versions") or ()
            for form in formats.unknown(at(version, "schema", "openAPIV3Schema"))
        ]
        for crd in (obj, old)
    )
    return [f'unrecognized format "{form}"' for form in dict.fromkeys(new) if form not in before]
