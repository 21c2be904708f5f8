"""TokenReview, authentication.k8s.io/v1: create only, never stored.

Source: API reference, TokenReview v1 authentication.k8s.io.
"""

from __future__ import annotations

from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object


class TokenReview(Resource):
    group, kind, plural = "authentication.k8s.io", "TokenReview", "tokenreviews"
    namespaced = False
    verbs = ("create",)
    has_generation = False

    def validate(self, obj: Object, errors: Errors) -> None:
        if not at(obj, "spec", "token"):
            errors.required("spec.token")
