"""RuntimeClass: a pod that names one costs what that costs beside its containers, and goes where it can run.

Source: Kubernetes documentation, "Runtime Class", "Pod Overhead"; KEP-688.
"""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import quantity, tolerations
from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, Attributes, Plugin
from kybern.apiserver.app import App

GROUP = "node.k8s.io"
_MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


class RuntimeClass(Plugin):
    """Fills in spec.overhead, spec.nodeSelector and spec.tolerations."""

    name = "RuntimeClass"
    handles = frozenset({("", "pods")})
    operations = frozenset((CREATE,))

    def __init__(self, app: App) -> None:
        self._registry = app.registry
        self._kind = app.registry.scheme.resource(GROUP, "runtimeclasses")
        self._classes = app.registry.lister(GROUP, "runtimeclasses")

    async def admit(self, a: Attributes) -> None:
        if a.subresource or a.object is None or a.object["spec"].get("runtimeClassName") is None:
            return
        spec = a.object["spec"]
        found = await self._class(a, spec["runtimeClassName"])
        fixed = _overhead(found)
        if fixed is not None:
            if spec.get("overhead") is not None and not _same(spec["overhead"], fixed):
                raise a.forbidden(_MISMATCH)
            spec["overhead"] = dict(fixed)
        _schedule(a, spec, found.get("scheduling") or {})

    async def validate(self, a: Attributes) -> None:
        spec = (a.object or {}).get("spec") or {}
        name, overhead = spec.get("runtimeClassName"), spec.get("overhead")
        if a.subresource or (name is None and overhead is None):
            return
        fixed = _overhead(await self._class(a, name)) if name is not None else None
        if fixed is None:
            if overhead is not None:
                raise a.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        elif not _same(overhead or {}, fixed):
            raise a.forbidden(_MISMATCH)

    async def _class(self, a: Attributes, name: str) -> Object:
        found = self._classes.get("", name)
        if found is None and self._kind is not None:
            try:
                # Another server may just have made it.
                found = await self._registry.get(self._kind, "", name)
            except NotFound:
                found = None
        if found is None:
            raise a.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
        return found


def _overhead(found: Object) -> Mapping[str, str] | None:
    overhead = found.get("overhead")
    return None if overhead is None else overhead.get("podFixed") or {}


def _same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return one.keys() == other.keys() and all(quantity.parse(one[key]) == quantity.parse(other[key]) for key in one)


def _schedule(a: Attributes, spec: Object, scheduling: Object) -> None:
    selector = dict(scheduling.get("nodeSelector") or {})
    for key, value in (spec.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            raise a.forbidden(
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {selector[key]}; "
                f"pod.spec.nodeSelector[{key}] = {value}"
            )
        selector[key] = value
    if selector:
        spec["nodeSelector"] = selector
    if scheduling.get("tolerations"):
        spec["tolerations"] = tolerations.merged(spec.get("tolerations") or [], scheduling["tolerations"])
