"""PodTemplate, v1. Source: API reference, PodTemplate v1 core."""

from __future__ import annotations

from kybern.api.cells import at, container_columns, labels
from kybern.api.core import pod_warnings
from kybern.api.core.podspec import default_pod_template, validate_pod_template
from kybern.api.field import Errors
from kybern.api.resource import Column, Preparation, Resource
from kybern.api.types import Object

_CONTAINERS, _IMAGES = container_columns("template")


class PodTemplate(Resource):
    kind, plural = "PodTemplate", "podtemplates"
    columns = (
        Column("Containers", "string", _CONTAINERS.cell, _CONTAINERS.description),
        Column("Images", "string", _IMAGES.cell, _IMAGES.description),
        Column("Pod Labels", "string", lambda o: labels(at(o, "template", "metadata", "labels"))),
    )

    def default(self, obj: Object) -> None:
        default_pod_template(obj.setdefault("template", {}))

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        pod_warnings.tell(prep, obj, path=("template",))

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        pod_warnings.tell(prep, obj, old, path=("template",))

    def validate(self, obj: Object, errors: Errors) -> None:
        validate_pod_template(obj.get("template") or {}, "template", errors)
