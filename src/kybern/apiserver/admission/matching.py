"""Which writes a webhook or a policy is about, beyond its rules: the same object under other names, and its namespace.

Source: Kubernetes documentation, "Dynamic Admission Control", matchPolicy and namespaceSelector.
"""

from __future__ import annotations

from kybern.api.errors import NotFound
from kybern.api.resource import Resource
from kybern.api.scheme import Scheme
from kybern.api.selectors import Selector
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes
from kybern.apiserver.registry import Registry
from kybern.apiserver.webhooks.review import namespace_of
from kybern.apiserver.webhooks.views import Target


class Equivalents:
    """The resources that share their storage with one, in all their versions. Kept until the scheme changes."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme, self._version = scheme, -1
        self._known: dict[tuple[str, str], list[Target]] = {}

    def of(self, group: str, plural: str) -> list[Target]:
        """All that a resource is equivalent to, itself included."""
        if self._version != self._scheme.version:
            self._version, self._known = self._scheme.version, {}
        if (group, plural) not in self._known:
            self._known[group, plural] = _sharing(self._scheme, self._scheme.resource(group, plural))
        return self._known[group, plural]

    def others(self, a: Attributes) -> list[Target]:
        """What a write is equivalent to, besides what was asked for."""
        here = (a.resource.group, a.version, a.resource.plural)
        return [one for one in self.of(a.resource.group, a.resource.plural) if one.named != here]


def _sharing(scheme: Scheme, resource: Resource | None) -> list[Target]:
    if resource is None:
        return []
    prefix = resource.prefix()
    found = [resource, *(one for one in scheme if one is not resource and one.prefix() == prefix)]
    return [Target(one, version) for one in found for version in one.versions]


def wants_labels(selector: Selector, a: Attributes) -> bool:
    """Whether objects with such labels are meant: those of the new one or of the old one."""
    return selector.everything or any(
        obj is not None and "metadata" in obj and selector.matches(obj["metadata"].get("labels"))
        for obj in (a.object, a.old)
    )


async def wants_namespace(selector: Selector, a: Attributes, registry: Registry) -> bool:
    """Whether writes in such a namespace are meant; those of cluster-scoped kinds always are. Raises NotFound."""
    name = namespace_of(a)
    if selector.everything or not name:
        return True
    is_namespace = (a.resource.group, a.resource.plural) == ("", "namespaces")
    if is_namespace and not a.subresource and a.operation in (CREATE, UPDATE) and a.object is not None:
        return selector.matches(a.object["metadata"].get("labels"))
    return selector.matches((await namespace(registry, name))["metadata"].get("labels"))


async def namespace(registry: Registry, name: str) -> Object:
    """A namespace. Raises NotFound."""
    found = registry.lister("", "namespaces").get("", name)
    if found is None:
        # Another server may have made it a moment ago: the store knows.
        resource = registry.scheme.resource("", "namespaces")
        if resource is None:
            raise NotFound.of("namespaces", "", name)
        found = await registry.get(resource, "", name)
    return found
