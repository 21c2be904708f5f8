"""The operations of each served resource, in a form that OpenAPI 2 and 3 are both written from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kybern.api.resource import Resource, Subresource
from kybern.api.types import Object
from kybern.apiserver.discovery import subresources
from kybern.apiserver.negotiation import JSON, PROTOBUF, YAML
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
    "command": ("string", "The command to run, one argument each time it is given."),
    "container": ("string", "The container of the pod, where there are several."),
    "continue": ("string", "The token a former page ended with."),
    "dryRun": ("string", "All: do everything but store the result."),
    "fieldManager": ("string", "Who makes the change, for metadata.managedFields."),
    "fieldSelector": ("string", "Only objects whose fields match."),
    "fieldValidation": ("string", "What becomes of unknown and duplicate fields: Ignore, Warn or Strict."),
    "follow": ("boolean", "Go on as the log grows."),
    "force": ("boolean", "Take over fields from other managers (apply only)."),
    "gracePeriodSeconds": ("integer", "Seconds until the object is deleted; 0 is at once."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": ("boolean", "Delete an object that cannot be read."),
    "insecureSkipTLSVerifyBackend": ("boolean", "Trust whatever certificate the kubelet has."),
    "labelSelector": ("string", "Only objects whose labels match."),
    "limit": ("integer", "At most so many objects in one page."),
    "limitBytes": ("integer", "At most so many bytes of log."),
    "orphanDependents": ("boolean", "Deprecated: use propagationPolicy."),
    "path": ("string", "The part of the URL that is passed on."),
    "ports": ("integer", "The ports to forward; for WebSockets only."),
    "pretty": ("string", "true: indent the output."),
    "previous": ("boolean", "The log of the container before it was last restarted."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "resourceVersion": ("string", "How fresh the answer must be, or where a watch begins."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Begin a watch with what exists."),
    "sinceSeconds": ("integer", "Only what was logged in the last so many seconds."),
    "stderr": ("boolean", "Pass on standard error."),
    "stdin": ("boolean", "Pass on standard input."),
    "stdout": ("boolean", "Pass on standard output."),
    "stream": ("string", "Which stream of the log: All, Stdout or Stderr."),
    "tailLines": ("integer", "Only so many lines from the end."),
    "timeoutSeconds": ("integer", "Seconds after which a list or watch ends."),
    "timestamps": ("boolean", "Begin each line with when it was logged."),
    "tty": ("boolean", "Allocate a terminal."),
    "watch": ("boolean", "Follow changes instead of listing."),
}
"""Query parameter -> (type, description)."""

_STREAMED = ("container", "stderr", "stdin", "stdout", "tty")
_CONNECT: dict[str, tuple[str, ...]] = {
    "attach": _STREAMED, "exec": ("command", *_STREAMED), "portforward": ("ports",), "proxy": ("path",),
}  # fmt: skip
"""Subresources that a connection is passed on to -> their query parameters."""
_PROXIED = ("get", "put", "post", "delete", "options", "head", "patch")
_LOG = (
    "container", "follow", "insecureSkipTLSVerifyBackend", "limitBytes", "previous", "sinceSeconds", "stream",
    "tailLines", "timestamps",
)  # fmt: skip
_PARTS = re.compile("[A-Za-z0-9]+")

ANSWERS = (JSON, YAML, PROTOBUF)
STREAMS = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
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
    produces: tuple[str, ...] = ANSWERS

    @property
    def shared(self) -> tuple[str, ...]:
        """The query parameters of all the path's methods."""
        return ("pretty",) if "pretty" in self.query else ()


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


def words(group: str) -> str:
    """A group as ids and tags spell it: `rbacAuthorization` of rbac.authorization.k8s.io."""
    first, *rest = _PARTS.findall((group or "core").removesuffix(".k8s.io"))
    return str(first) + "".join(map(capitalized, rest))


def capitalized(text: str) -> str:
    """With a capital first, and the rest as it is."""
    return text[:1].upper() + text[1:]


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
        group = capitalized(words(resource.group))
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
        produces = self.produces(action, answer)
        return Operation(path, method, name, action, words, gvk, query, where, body, answer, codes, consumes, produces)

    def produces(self, action: str, answer: str) -> tuple[str, ...]:
        if action == "connect":
            return ("*/*",)
        if self.resource.custom:
            return ANSWERS[:2]
        if action == "list":
            return (*ANSWERS, *STREAMS)
        return ANSWERS if answer else ("text/plain", *ANSWERS)

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
            query = (*_DELETE, *(name for name in _LIST if name not in ("allowWatchBookmarks", "watch")))
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
        if sub.name in _CONNECT:
            yield from self.connect(sub, path, where, gvk)
            return
        query = _LOG if sub.name == "log" else ()
        for verb in sub.verbs:
            if verb == "get":
                yield self.make("get", path, "read", "get", query, kind, where=where, gvk=gvk, suffix=suffix)
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

    def connect(self, sub: Subresource, path: str, where: tuple[str, ...], gvk: Object) -> Iterator[Operation]:
        """What is passed on to a kubelet, a pod or a service. The id has the method in it, the answer is text."""
        query = _CONNECT[sub.name]
        places = [(path, where, sub.name.capitalize())]
        methods = ["get", "post"]
        if sub.name == "proxy":
            places.append((f"{path}/{{path}}", (*where, "path"), "ProxyWithPath"))
            methods = list(_PROXIED)
        for place, named, suffix in places:
            for method in methods:
                group, rest = capitalized(words(self.resource.group)), self.tail
                tail = f"{group}{self.version.capitalize()}{method.capitalize()}"
                tail += rest.removeprefix(f"{group}{self.version.capitalize()}")
                said = f"connect {method.upper()} requests to {sub.name} of {self.resource.kind}"
                made = self.make(
                    method, place, "connect", "connect", query, "", where=named, gvk=gvk, tail=tail, suffix=suffix,
                    words=said,
                )  # fmt: skip
                made.query = query
                yield made
