"""The operations of each served resource, in a form that OpenAPI 2 and 3 are both written from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kybern.api.resource import Resource, Subresource
from kybern.api.types import Object
from kybern.apiserver.discovery import subresources
from kybern.apiserver.openapi_schemas import DELETE_OPTIONS, PATCH, STATUS, Schemas

_LIST = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
           "propagationPolicy")  # fmt: skip

QUERY: dict[str, tuple[str, str]] = {
    "allowWatchBookmarks": ("boolean", "Ask a watch for BOOKMARK events."),
    "continue": ("string", "The token a former page ended with."),
    "dryRun": ("string", "All: do everything but store the result."),
    "fieldManager": ("string", "Who makes the change, for metadata.managedFields."),
    "fieldSelector": ("string", "Only objects whose fields match."),
    "fieldValidation": ("string", "What becomes of unknown and duplicate fields: Ignore, Warn or Strict."),
    "force": ("boolean", "Take over fields from other managers (apply only)."),
    "gracePeriodSeconds": ("integer", "Seconds until the object is deleted; 0 is at once."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": ("boolean", "Delete an object that cannot be read."),
    "labelSelector": ("string", "Only objects whose labels match."),
    "limit": ("integer", "At most so many objects in one page."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "pretty": ("string", "true: indent the output."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "How fresh the answer must be, or where a watch begins."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Begin a watch with what exists."),
    "timeoutSeconds": ("integer", "Seconds after which a list or watch ends."),
    "watch": ("boolean", "Follow changes instead of listing."),
}
"""Query parameter -> (type, description)."""

PATCH_TYPES = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)  # fmt: skip
CUSTOM_PATCH_TYPES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
"""Of custom kinds: clients tell from this that there is no strategic merge."""


@dataclass(slots=True)
class Operation:
    """One method of one path. `body` and `answer` are definition names; "" for no body, and for an
    answer that is text."""

    path: str
    method: str
    id: str
    action: str
    description: str
    gvk: Object
    query: tuple[str, ...]
    path_parameters: tuple[str, ...]
    body: str
    answer: str
    codes: tuple[int, ...]
    consumes: tuple[str, ...] = ("*/*",)


def operations(resource: Resource, version: str, schemas: Schemas) -> Iterator[Operation]:
    """Every operation of a resource in a version."""
    maker = _Maker(resource, version, schemas)
    yield from maker.collection()
    yield from maker.item()
    for sub in subresources(resource):
        yield from maker.subresource(sub)


def root(group: str, version: str) -> str:
    """`/api/v1`, `/apis/apps/v1`."""
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


class _Maker:
    def __init__(self, resource: Resource, version: str, schemas: Schemas) -> None:
        self.resource, self.version, self.schemas = resource, version, schemas
        base = root(resource.group, version)
        self.everywhere = f"{base}/{resource.plural}"
        self.base = f"{base}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else self.everywhere
        self.where = ("namespace",) if resource.namespaced else ()
        self.gvk = {"group": resource.group, "kind": resource.kind, "version": version}
        self.definition = schemas.name(resource.group, version, resource.kind)
        self.list_definition = schemas.name(resource.group, version, f"{resource.kind}List") or self.definition
        group = "".join(part.capitalize() for part in (resource.group.split(".")[0] or "core").split("-"))
        scope = "Namespaced" if resource.namespaced else ""
        self.tail = f"{group}{version.capitalize()}{scope}{resource.kind}"

    def make(
        self, method: str, path: str, verb: str, action: str, query: tuple[str, ...], answer: str,
        *, body: str = "", codes: tuple[int, ...] = (200,), where: tuple[str, ...] | None = None,
        gvk: Object | None = None, tail: str = "", suffix: str = "", words: str = "",
    ) -> Operation:  # fmt: skip
        where = self.where if where is None else where
        patches = CUSTOM_PATCH_TYPES if self.resource.custom else PATCH_TYPES
        consumes = patches if method == "patch" else ("*/*",)
        name = f"{verb}{tail or self.tail}{suffix}"
        words = words or f"{verb} {self.resource.kind}{f' {suffix}' if suffix else ''}"
        gvk, query = gvk or self.gvk, (*query, "pretty")
        return Operation(path, method, name, action, words, gvk, query, where, body, answer, codes, consumes)

    def collection(self) -> Iterator[Operation]:
        verbs, kind = self.resource.verbs, self.definition
        if "list" in verbs:
            yield self.make("get", self.base, "list", "list", _LIST, self.list_definition)
            if self.resource.namespaced:
                tail = self.tail.replace("Namespaced", "")
                yield self.make(
                    "get", self.everywhere, "list", "list", _LIST, self.list_definition,
                    where=(), tail=tail, suffix="ForAllNamespaces",
                )  # fmt: skip
        if "create" in verbs:
            yield self.make("post", self.base, "create", "post", _WRITE, kind, body=kind, codes=(200, 201, 202))
        if "deletecollection" in verbs:
            tail = self.tail.replace("Namespaced", "CollectionNamespaced") if self.where else f"Collection{self.tail}"
            query = (*_DELETE, *_LIST[1:8])
            yield self.make(
                "delete", self.base, "delete", "deletecollection", query, STATUS, body=DELETE_OPTIONS, tail=tail
            )

    def item(self) -> Iterator[Operation]:
        verbs, kind = self.resource.verbs, self.definition
        path, where = f"{self.base}/{{name}}", ("name", *self.where)
        if "get" in verbs:
            yield self.make("get", path, "read", "get", (), kind, where=where)
        if "update" in verbs:
            yield self.make("put", path, "replace", "put", _WRITE, kind, body=kind, codes=(200, 201), where=where)
        if "patch" in verbs:
            yield self.make(
                "patch", path, "patch", "patch", (*_WRITE, "force"), kind, body=PATCH, codes=(200, 201), where=where
            )
        if "delete" in verbs:
            yield self.make(
                "delete", path, "delete", "delete", _DELETE, STATUS, body=DELETE_OPTIONS, codes=(200, 202), where=where
            )

    def subresource(self, sub: Subresource) -> Iterator[Operation]:
        path, where = f"{self.base}/{{name}}/{sub.name}", ("name", *self.where)
        gvk = {"group": sub.group, "kind": sub.kind, "version": sub.version} if sub.kind else self.gvk
        kind = self.schemas.name(sub.group, sub.version, sub.kind) if sub.kind else self.definition
        body, suffix = kind, sub.name.capitalize()
        for verb in sub.verbs:
            if verb == "get":
                yield self.make("get", path, "read", "get", (), kind, where=where, gvk=gvk, suffix=suffix)
            elif verb == "update":
                yield self.make(
                    "put", path, "replace", "put", _WRITE, kind, body=body, codes=(200, 201), where=where, gvk=gvk,
                    suffix=suffix,
                )  # fmt: skip
            elif verb == "patch":
                yield self.make(
                    "patch", path, "patch", "patch", (*_WRITE, "force"), kind, body=PATCH, codes=(200, 201),
                    where=where, gvk=gvk, suffix=suffix,
                )  # fmt: skip
            elif verb == "create":
                yield self.make(
                    "post", path, "create", "post", _WRITE, kind, body=body, codes=(200, 201, 202), where=where,
                    gvk=gvk, suffix=suffix,
                )  # fmt: skip
