"""ClusterRole, rbac.authorization.k8s.io/v1. Source: API reference, ClusterRole v1 rbac.authorization.k8s.io."""

from __future__ import annotations

from kybern.api import selectors
from kybern.api.cells import CREATED_AT
from kybern.api.field import Errors
from kybern.api.rbac.rules import GROUP, check_rules
from kybern.api.resource import Resource
from kybern.api.types import Object


class ClusterRole(Resource):
    group, kind, plural = GROUP, "ClusterRole", "clusterroles"
    creates_on_update = True
    namespaced = False
    has_generation = False
    validates_name = "path_segment"
    columns = (CREATED_AT,)

    def default(self, obj: Object) -> None:
        obj.setdefault("rules", [])

    def validate(self, obj: Object, errors: Errors) -> None:
        check_rules(obj.get("rules") or [], False, errors)
        aggregation = obj.get("aggregationRule")
        if aggregation is None:
            return
        path = "aggregationRule.clusterRoleSelectors"
        chosen = aggregation.get("clusterRoleSelectors") or []
        if not chosen:
            errors.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
        for index, selector in enumerate(chosen):
            selectors.validate_object(selector, f"{path}[{index}]", errors)
