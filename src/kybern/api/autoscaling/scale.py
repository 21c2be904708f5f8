"""Scale, autoscaling/v1: what the `scale` subresource of any scalable kind shows and takes. It isn't stored.

Source: API reference, Scale v1 autoscaling.
"""

from __future__ import annotations

from typing import Any

from kybern.api.cells import at, number, selector
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object

API_VERSION, KIND = "autoscaling/v1", "Scale"
COLUMNS = (
    Column("Desired", "integer", number("spec", "replicas")),
    Column("Available", "integer", number("status", "replicas")),
    AGE,
)
_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def of(resource: Resource, obj: Object) -> Object:
    """The Scale of a stored object of a scalable kind."""
    paths = resource.scale
    assert paths is not None, f"{resource.group_resource} has no scale"
    metadata = {key: obj["metadata"][key] for key in _METADATA if key in obj["metadata"]}
    replicas = at(obj, *_keys(paths.spec_replicas))
    scale: Object = {"kind": KIND, "apiVersion": API_VERSION, "metadata": metadata, "spec": {}}
    if replicas:
        scale["spec"]["replicas"] = replicas
    scale["status"] = {"replicas": at(obj, *_keys(paths.status_replicas)) or 0}
    shown = _selector(at(obj, *_keys(paths.selector))) if paths.selector else ""
    if shown:
        scale["status"]["selector"] = shown
    return scale


def apply(resource: Resource, scale: Object, obj: Object) -> None:
    """Write the replicas a Scale asks for into `obj`."""
    paths = resource.scale
    assert paths is not None, f"{resource.group_resource} has no scale"
    *parents, last = _keys(paths.spec_replicas)
    holder = obj
    for key in parents:
        holder = holder.setdefault(key, {})
    holder[last] = at(scale, "spec", "replicas") or 0


def validate(scale: Object, errors: Errors) -> None:
    """No negative replicas."""
    replicas = at(scale, "spec", "replicas") or 0
    if replicas < 0:
        errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")


def _keys(path: str) -> list[str]:
    return path.removeprefix(".").split(".")


def _selector(found: Any) -> str:
    """A selector as text: of a LabelSelector, of plain labels, or already text."""
    if isinstance(found, str) or not found:
        return found or ""
    plain = not ({"matchLabels", "matchExpressions"} & found.keys())
    return selector({"matchLabels": found} if plain else found)
