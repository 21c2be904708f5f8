"""SelfSubjectAccessReview, authorization.k8s.io/v1. Source: API reference, SelfSubjectAccessReview v1."""

from __future__ import annotations

from kybern.api.authorization.reviews import AccessReview


class SelfSubjectAccessReview(AccessReview):
    kind, plural = "SelfSubjectAccessReview", "selfsubjectaccessreviews"
    names_user = False
