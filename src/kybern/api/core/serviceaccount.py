"""ServiceAccount, v1, and its `token` subresource. Source: API reference, ServiceAccount v1 core."""

from __future__ import annotations

from kybern.api.resource import AGE, Resource, Subresource


class ServiceAccount(Resource):
    kind, plural = "ServiceAccount", "serviceaccounts"
    short_names = ("sa",)
    has_generation = False
    subresources = (Subresource("token", "TokenRequest", group="authentication.k8s.io"),)
    columns = (AGE,)
