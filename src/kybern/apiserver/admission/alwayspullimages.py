"""AlwaysPullImages: a node that has a private image doesn't lend it to pods without the right to pull it.

Source: Kubernetes documentation, "Admission Control in Kubernetes", AlwaysPullImages.
"""

from __future__ import annotations

from kybern.api.core.podspec_defaults import every_container
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin

_FIELDS = ("initContainers", "containers", "ephemeralContainers")


class AlwaysPullImages(Plugin):
    """Looks at pods that are made, or get other images."""

    name = "AlwaysPullImages"
    handles = frozenset({("", "pods")})
    operations = frozenset((CREATE, UPDATE))

    async def admit(self, a: Attributes) -> None:
        if a.object is None or not _concerned(a):
            return
        for container in every_container(a.object["spec"]):
            container["imagePullPolicy"] = "Always"
        for volume in a.object["spec"].get("volumes") or ():
            if volume.get("image") is not None:
                volume["image"]["pullPolicy"] = "Always"

    async def validate(self, a: Attributes) -> None:
        if a.object is None or not _concerned(a):
            return
        errors = Errors()
        for field in _FIELDS:
            for index, container in enumerate(a.object["spec"].get(field) or ()):
                policy = container.get("imagePullPolicy") or ""
                if policy != "Always":
                    errors.unsupported(f"spec.{field}[{index}].imagePullPolicy", policy, ("Always",))
        if errors:
            said = list(map(str, errors))
            raise a.forbidden(said[0] if len(said) == 1 else f"[{', '.join(said)}]")


def _concerned(a: Attributes) -> bool:
    if a.subresource:
        return False
    old = _images(a.old) if a.operation == UPDATE and a.old is not None else None
    return old is None or not _images(a.object or {}) <= old


def _images(pod: Object) -> set[str]:
    return {container.get("image") or "" for container in every_container(pod["spec"])}
