"""ServiceAccount, v1, and its `token` subresource. Source: API reference, ServiceAccount v1 core."""

from __future__ import annotations

from kybern.api.resource import AGE, Preparation, Resource, Subresource
from kybern.api.types import Object

_ENFORCE = "kubernetes.io/enforce-mountable-secrets"


class ServiceAccount(Resource):
    kind, plural = "ServiceAccount", "serviceaccounts"
    short_names = ("sa",)
    has_generation = False
    subresources = (Subresource("token", "TokenRequest", group="authentication.k8s.io"),)
    columns = (AGE,)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        _warn(obj, prep)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        _warn(obj, prep)


def _warn(obj: Object, prep: Preparation) -> None:
    if _ENFORCE in (obj["metadata"].get("annotations") or {}):
        said = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        prep.warnings.append(f"metadata.annotations[{_ENFORCE}]: {said}")
