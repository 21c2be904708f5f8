"""TokenReview, authentication.k8s.io/v1: create only, never stored.

Source: API reference, TokenReview v1 authentication.k8s.io.
"""

from __future__ import annotations

from kybern.api.resource import Resource


class TokenReview(Resource):
    group, kind, plural = "authentication.k8s.io", "TokenReview", "tokenreviews"
    namespaced = False
    verbs = ("create",)
    has_generation = False
