"""Role, rbac.authorization.k8s.io/v1. Source: API reference, Role v1 rbac.authorization.k8s.io."""

from __future__ import annotations

from kybern.api.cells import CREATED_AT
from kybern.api.field import Errors
from kybern.api.rbac.rules import GROUP, check_rules
from kybern.api.resource import Resource
from kybern.api.types import Object


class Role(Resource):
    group, kind, plural = GROUP, "Role", "roles"
    creates_on_update = True
    has_generation = False
    validates_name = "path_segment"
    columns = (CREATED_AT,)

    def default(self, obj: Object) -> None:
        obj.setdefault("rules", [])

    def validate(self, obj: Object, errors: Errors) -> None:
        check_rules(obj.get("rules") or [], True, errors)
