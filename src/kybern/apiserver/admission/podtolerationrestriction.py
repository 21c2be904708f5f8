"""PodTolerationRestriction: a namespace, or the cluster, gives its pods tolerations, and says which they may have.

Source: Kubernetes documentation, "Admission Control in Kubernetes", PodTolerationRestriction.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from kybern.api import tolerations
from kybern.api.core.qos import qos_class
from kybern.api.types import Object
from kybern.apiserver.admission import config
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.admission.namespaces import Namespaces
from kybern.apiserver.app import App
from kybern.process.daemon import OperatorError

DEFAULTS = "scheduler.alpha.kubernetes.io/defaultTolerations"
WHITELIST = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_MEMORY_PRESSURE = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}
_TEXTS = ("key", "operator", "value", "effect")
_VERSIONS = ("podtolerationrestriction.admission.k8s.io/v1alpha1",)

Tolerations = Sequence[Object]


class PodTolerationRestriction(Plugin):
    """Looks at pods."""

    name = "PodTolerationRestriction"
    handles = frozenset({("", "pods")})
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._namespaces = Namespaces(app)
        given = config.of(app, self.name, "Configuration", _VERSIONS) or {}
        self._cluster = {DEFAULTS: given.get("default"), WHITELIST: given.get("whitelist")}
        for field, found in (("default", given.get("default")), ("whitelist", given.get("whitelist"))):
            if found is not None and not _are_tolerations(found):
                raise OperatorError(f"the configuration of {self.name}: {field} must be a list of tolerations")

    async def admit(self, a: Attributes) -> None:
        if a.subresource or a.object is None:
            return
        more = list(await self._of(a, DEFAULTS)) if a.operation == CREATE else []
        if qos_class(a.object) != "BestEffort":
            more.append(_MEMORY_PRESSURE)
        if more:
            spec = a.object["spec"]
            spec["tolerations"] = tolerations.merged(spec.get("tolerations") or (), more)

    async def validate(self, a: Attributes) -> None:
        if a.subresource or a.object is None:
            return
        given = a.object["spec"].get("tolerations")
        allowed = await self._of(a, WHITELIST) if given else ()
        if allowed and not all(any(tolerations.covers(wide, one) for wide in allowed) for one in given):
            raise a.forbidden(
                "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace "
                "whitelist"
            )

    async def _of(self, a: Attributes, annotation: str) -> Tolerations:
        """What the namespace says, else the cluster. Raises Forbidden for what is no list of tolerations."""
        text = (await self._namespaces.annotations(a.namespace)).get(annotation)
        if text is None:
            return self._cluster[annotation] or ()
        if not text:
            return ()
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise a.forbidden(f"namespace {a.namespace}: annotation {annotation}: {error}") from error
        if not _are_tolerations(found):
            raise a.forbidden(f"namespace {a.namespace}: annotation {annotation} is no list of tolerations")
        return found  # type: ignore[no-any-return]


def _are_tolerations(found: object) -> bool:
    return isinstance(found, list) and all(
        isinstance(one, dict)
        and isinstance(one.get("tolerationSeconds") or 0, int)
        and all(isinstance(one.get(field) or "", str) for field in _TEXTS)
        for one in found
    )
