"""PodTolerationRestriction: a namespace, or the cluster, gives its pods tolerations, and says which they may have.

Source: Kubernetes documentation, "Admission Control in Kubernetes", PodTolerationRestriction.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

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
            spec["tolerations"] = merged([*(spec.get("tolerations") or ()), *more])

    async def validate(self, a: Attributes) -> None:
        if a.subresource or a.object is None:
            return
        tolerations = a.object["spec"].get("tolerations")
        allowed = await self._of(a, WHITELIST) if tolerations else ()
        if allowed and not all(any(_covers(wide, one) for wide in allowed) for one in tolerations):
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


def merged(tolerations: Tolerations) -> list[Object]:
    """Without those that another one covers; of equal ones the first stays."""
    kept: list[Object] = []
    for index, one in enumerate(tolerations):
        if any(_covers(other, one) for other in kept):
            continue
        if any(not _same(other, one) and _covers(other, one) for other in tolerations[index + 1 :]):
            continue
        kept.append(one)
    return kept


def _same(first: Object, second: Object) -> bool:
    fields = ("key", "operator", "value", "effect")
    alike = all((first.get(field) or "") == (second.get(field) or "") for field in fields)
    return alike and first.get("tolerationSeconds") == second.get("tolerationSeconds")


def _covers(wide: Object, one: Object) -> bool:
    """Whether `wide` tolerates all that `one` does."""
    if _same(wide, one):
        return True
    key, operator, effect = wide.get("key") or "", wide.get("operator") or "Equal", wide.get("effect") or ""
    if key != (one.get("key") or "") and (key or operator != "Exists"):
        return False
    if effect and effect != (one.get("effect") or ""):
        return False
    if effect == "NoExecute" and wide.get("tolerationSeconds") is not None:
        seconds = one.get("tolerationSeconds")
        if seconds is None or seconds > wide["tolerationSeconds"]:
            return False
    if operator == "Exists":
        return True
    return (one.get("operator") or "Equal") == "Equal" and (one.get("value") or "") == (wide.get("value") or "")


def _are_tolerations(found: object) -> bool:
    return isinstance(found, list) and all(
        isinstance(one, dict) and isinstance(one.get("tolerationSeconds") or 0, int) for one in found
    )
