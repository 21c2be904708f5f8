"""delete: one object, at once or gracefully."""

from __future__ import annotations

from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver import deletion
from kybern.apiserver.answers import success, unstored_object
from kybern.apiserver.app import App
from kybern.apiserver.deleting import delete
from kybern.apiserver.request import Request, Response

SHOWN = frozenset(
    {("", plural) for plural in ("pods", "services", "serviceaccounts", "persistentvolumes", "podtemplates",
                                 "persistentvolumeclaims", "resourcequotas")}
    | {("storage.k8s.io", plural) for plural in ("storageclasses", "volumeattachments", "csidrivers", "csinodes",
                                               "volumeattributesclasses")}
    | {("resource.k8s.io", plural) for plural in ("deviceclasses", "devicetaintrules", "resourceclaims",
                                                "resourceclaimtemplates", "resourceslices")}
)  # fmt: skip
"""Kinds whose last state is the answer to their deletion; for others it is a Status. As upstream has it."""


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, Conflict, Invalid (options), and what admission raises."""
    info = request.info
    asked = deletion.read(request)
    namespace = info.namespace if resource.namespaced else ""
    if resource.orphans_by_default and not asked.policy and asked.orphan is None:
        request.warnings.append(deletion.ORPHANS)
    done = await delete(app, request, resource, namespace, info.name, asked)
    accepted = not done.gone and asked.orphan is False
    if not done.gone or (resource.group, resource.plural) in SHOWN:
        return unstored_object(request, resource, done.object, 202 if accepted else 200)
    details: Object = {"name": info.name}
    if resource.group:
        details["group"] = resource.group
    details |= {"kind": resource.plural, "uid": done.object["metadata"].get("uid", "")}
    return success(request, details)
