"""The objects that a binding names as a policy's parameters.

Source: API reference, ParamRef v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from kybern.api import selectors
from kybern.api.cells import at
from kybern.api.errors import NotFound
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.registry import Registry


class Misconfigured(Exception):
    """A policy or binding that can't be put into effect; the message says why, in upstream's words."""


def resource_of(policy: Object, registry: Registry) -> Resource | None:
    """The kind of a policy's parameters; None if it has none. Raises Misconfigured."""
    said = at(policy, "spec", "paramKind")
    if said is None:
        return None
    found = registry.scheme.kind(said["apiVersion"], said["kind"])
    if found is None:
        what = f"{said['apiVersion']}, Kind={said['kind']}"
        raise Misconfigured(f"failed to find resource referenced by paramKind: '{what}'")
    return found


async def collect(policy: Object, binding: Object, namespace: str, registry: Registry) -> list[Object | None]:
    """The parameters to evaluate a policy with, one after the other; a None where it is evaluated without. Raises
    Misconfigured."""
    ref, kind = at(binding, "spec", "paramRef"), resource_of(policy, registry)
    if kind is None or ref is None:
        return [None]
    if ref.get("namespace") and not kind.namespaced:
        raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    place = ref.get("namespace") or namespace if kind.namespaced else ""
    if kind.namespaced and not place:
        raise Misconfigured("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    found = await _named(kind, place, ref["name"], registry) if ref.get("name") else await _selected(
        kind, place, ref.get("selector") or {}, registry
    )
    if not found and ref.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    version = at(policy, "spec", "paramKind", "apiVersion").rpartition("/")[2]
    return [kind.from_storage(one, version) for one in found]


async def _named(kind: Resource, namespace: str, name: str, registry: Registry) -> list[Object]:
    await registry.started(kind)
    found = registry.lister(kind.group, kind.plural).get(namespace, name)
    if found is not None:
        return [found]
    try:
        # Another server may have made it a moment ago: the store knows.
        return [await registry.get(kind, namespace, name)]
    except NotFound:
        return []


async def _selected(kind: Resource, namespace: str, said: Object, registry: Registry) -> list[Object]:
    await registry.started(kind)
    selector = selectors.from_object(said)
    listed = registry.lister(kind.group, kind.plural).list(namespace)
    return [one for one in listed if selector.matches(one["metadata"].get("labels"))]
