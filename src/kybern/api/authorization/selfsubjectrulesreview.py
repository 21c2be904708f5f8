"""SelfSubjectRulesReview, authorization.k8s.io/v1: create only, never stored.

Source: API reference, SelfSubjectRulesReview v1 authorization.k8s.io.
"""

from __future__ import annotations

from kybern.api.resource import Resource


class SelfSubjectRulesReview(Resource):
    group, kind, plural = "authorization.k8s.io", "SelfSubjectRulesReview", "selfsubjectrulesreviews"
    namespaced = False
    verbs = ("create",)
    has_generation = False
