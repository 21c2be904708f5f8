"""What everything with a pod in it shares: defaults and validation of pod specs and templates.

`default_pod_spec`, `default_pod_template`, `validate_pod_spec`, `validate_pod_template` are the names to use.
"""

from __future__ import annotations

from kybern.api import meta
from kybern.api.core.podspec_defaults import default_pod, default_pod_spec, default_pod_template, every_container
from kybern.api.core.podspec_validation import validate_pod_annotations, validate_pod_spec
from kybern.api.field import Errors
from kybern.api.types import Object

__all__ = [
    "default_pod",
    "default_pod_spec",
    "default_pod_template",
    "every_container",
    "validate_pod_spec",
    "validate_pod_template",
]


def validate_pod_template(template: Object, path: str, errors: Errors) -> None:
    """A PodTemplateSpec at `path` (e.g. "spec.template"): its labels, annotations and spec."""
    metadata = template.get("metadata") or {}
    meta.validate_labels(metadata.get("labels"), f"{path}.metadata.labels", errors)
    meta.validate_annotations(metadata.get("annotations"), f"{path}.metadata.annotations", errors)
    spec = template.get("spec") or {}
    validate_pod_annotations(metadata.get("annotations") or {}, spec, f"{path}.metadata.annotations", errors)
    validate_pod_spec(spec, f"{path}.spec", errors)
    if spec.get("ephemeralContainers"):
        errors.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")
