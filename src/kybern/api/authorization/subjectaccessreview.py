"""SubjectAccessReview, authorization.k8s.io/v1. Source: API reference, SubjectAccessReview v1."""

from __future__ import annotations

from kybern.api.authorization.reviews import AccessReview


class SubjectAccessReview(AccessReview):
    kind, plural = "SubjectAccessReview", "subjectaccessreviews"
