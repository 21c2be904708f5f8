"""ClusterRoleBinding, rbac.authorization.k8s.io/v1. Source: API reference, ClusterRoleBinding v1."""

from __future__ import annotations

from kybern.api.field import Errors
from kybern.api.rbac.rules import BINDING_COLUMNS, GROUP, check_binding, check_same_role, default_binding
from kybern.api.resource import Resource
from kybern.api.types import Object


class ClusterRoleBinding(Resource):
    group, kind, plural = GROUP, "ClusterRoleBinding", "clusterrolebindings"
    creates_on_update = True
    namespaced = False
    has_generation = False
    validates_name = "path_segment"
    columns = BINDING_COLUMNS

    def default(self, obj: Object) -> None:
        default_binding(obj)

    def validate(self, obj: Object, errors: Errors) -> None:
        check_binding(obj, False, errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        check_same_role(obj, old, errors)
