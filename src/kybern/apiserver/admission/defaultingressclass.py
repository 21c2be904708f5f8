"""DefaultIngressClass: an Ingress that names no class gets the one that is marked as default.

Source: Kubernetes documentation, "Ingress", default ingress class.
"""

from __future__ import annotations

import logging

from kybern.api.networking.ingress_validation import CLASS_ANNOTATION
from kybern.api.networking.ingressclass import is_default
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, Attributes, Plugin
from kybern.apiserver.app import App

log = logging.getLogger(__name__)

GROUP = "networking.k8s.io"


class DefaultIngressClass(Plugin):
    """Fills in spec.ingressClassName."""

    name = "DefaultIngressClass"
    handles = frozenset({(GROUP, "ingresses")})
    operations = frozenset((CREATE,))

    def __init__(self, app: App) -> None:
        self._classes = app.registry.lister(GROUP, "ingressclasses")

    async def admit(self, a: Attributes) -> None:
        if a.subresource or a.object is None or a.object["spec"].get("ingressClassName") is not None:
            return
        if CLASS_ANNOTATION in (a.object["metadata"].get("annotations") or {}):
            return
        found = self._default()
        if found is not None:
            a.object["spec"]["ingressClassName"] = found["metadata"]["name"]

    def _default(self) -> Object | None:
        """The newest of those marked; of several made in the same second, the first by name."""
        marked = sorted(filter(is_default, self._classes.list()), key=lambda one: str(one["metadata"]["name"]))
        if len(marked) > 1:
            log.info("%d default IngressClasses were found, choosing the newest", len(marked))
        return max(marked, key=lambda one: str(one["metadata"]["creationTimestamp"]), default=None)
