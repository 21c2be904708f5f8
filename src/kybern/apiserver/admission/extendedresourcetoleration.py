"""ExtendedResourceToleration: pods that ask for a device tolerate the taint that reserves the nodes which have it.

Source: Kubernetes documentation, "Admission Control in Kubernetes", ExtendedResourceToleration.
"""

from __future__ import annotations

from kybern.api.core.resources_validation import is_extended
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin


class ExtendedResourceToleration(Plugin):
    """Looks at pods."""

    name = "ExtendedResourceToleration"
    handles = frozenset({("", "pods")})
    operations = frozenset((CREATE, UPDATE))

    async def admit(self, a: Attributes) -> None:
        if a.subresource or a.object is None:
            return
        spec = a.object["spec"]
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        asked = {name for one in containers for name in (one.get("resources") or {}).get("requests") or {}}
        for name in sorted(asked):
            if is_extended(name):
                _tolerate(spec, name)


def _tolerate(spec: Object, key: str) -> None:
    wanted = {"key": key, "operator": "Exists", "effect": "NoSchedule"}
    tolerations = spec.get("tolerations") or []
    for index, one in enumerate(tolerations):
        same = all((one.get(field) or "") == wanted.get(field, "") for field in ("key", "operator", "effect", "value"))
        if same:
            tolerations[index] = wanted
            return
    spec["tolerations"] = [*tolerations, wanted]
