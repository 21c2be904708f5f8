"""From a request that may pass to the verb that serves it: first by subresource, then by verb.

Both tables name modules of verbs/, loaded at first use; each has a coroutine `serve(app, request, resource)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TypeAlias

from kybern.api.errors import MethodNotSupported, NotFound
from kybern.api.resource import Resource
from kybern.apiserver.app import App
from kybern.apiserver.compression import unpack
from kybern.apiserver.request import Request, Response

Verb: TypeAlias = Callable[[App, Request, Resource], Awaitable[Response]]

VERBS = {
    "get": "get",
    "list": "list",
    "watch": "watch",
    "create": "create",
    "update": "update",
    "patch": "patch",
    "delete": "delete",
    "deletecollection": "deletecollection",
}
SUBRESOURCES = {
    "status": "status",
    "scale": "scale",
    "finalize": "finalize",
    "binding": "binding",
    "eviction": "eviction",
    "ephemeralcontainers": "ephemeralcontainers",
    "resize": "resize",
    "token": "token",
    "approval": "approval",
    "log": "connect",
    "exec": "connect",
    "attach": "connect",
    "portforward": "connect",
    "proxy": "connect",
}
"""subresource -> module"""
VIRTUAL = {
    ("authentication.k8s.io", "tokenreviews"): "reviews",
    ("authentication.k8s.io", "selfsubjectreviews"): "reviews",
    ("authorization.k8s.io", "subjectaccessreviews"): "reviews",
    ("authorization.k8s.io", "localsubjectaccessreviews"): "reviews",
    ("authorization.k8s.io", "selfsubjectaccessreviews"): "reviews",
    ("authorization.k8s.io", "selfsubjectrulesreviews"): "reviews",
    ("", "bindings"): "binding",
    ("", "componentstatuses"): "componentstatuses",
}
"""Resources that nothing is stored of -> module"""

LONG_RUNNING = frozenset(("attach", "exec", "log", "portforward", "proxy"))
"""Subresources that take as long as they take, for bodies that are others': flow control is not for them."""
METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE"))
"""What resources are asked by; proxies pass on HEAD and OPTIONS too."""

_NOT_FOUND = "the server could not find the requested resource"
_NOT_ALLOWED = "the server does not allow this method on the requested resource"


@lru_cache(maxsize=64)
def verb(module: str) -> Verb:
    """The `serve` of a module of verbs/."""
    found: Verb = importlib.import_module(f"kybern.apiserver.verbs.{module}").serve
    return found


async def dispatch(app: App, request: Request) -> Response:
    """Serve it. Raises APIErrors."""
    info = request.info
    if app.aggregated and (other := app.aggregated.get(_group_version(request.path))):
        return await other(app, request)
    if "content-encoding" in request.headers and info.subresource not in LONG_RUNNING:
        unpack(request)
    if not info.is_resource:
        return await _route(app, request)
    resource = app.registry.scheme.resource(info.group, info.resource, info.version)
    if resource is None or (info.namespace and not resource.namespaced and info.resource != "namespaces"):
        raise NotFound(_NOT_FOUND, details={})
    if resource.views:
        resource = resource.views[info.version]
    request.resource = resource
    if request.method not in METHODS and info.subresource != "proxy":
        raise MethodNotSupported(_NOT_ALLOWED, details={})
    if deprecated := resource.warnings_of(info.version):
        request.warnings += deprecated
        if request.trail is not None:
            request.trail.deprecated(resource.gone_in(info.version))
    if info.subresource:
        return await _subresource(app, request, resource)
    virtual = VIRTUAL.get((info.group, info.resource))
    if virtual:
        return await verb(virtual)(app, request, resource)
    module = VERBS.get(info.verb)
    if module is None or not _allowed(request, resource):
        raise MethodNotSupported(_NOT_ALLOWED, details={})
    return await verb(module)(app, request, resource)


def _allowed(request: Request, resource: Resource) -> bool:
    info = request.info
    if info.verb not in resource.verbs:
        return False
    named = len(request.path.rstrip("/").split("/")) > _collection_depth(request)
    if info.verb in ("create", "deletecollection"):
        in_place = info.namespace or not resource.namespaced or info.resource == "namespaces"
        return not named and bool(in_place)
    return named or info.verb in ("list", "watch")


def _collection_depth(request: Request) -> int:
    """How many segments the path of the whole collection has."""
    info = request.info
    depth = 4 if not info.group else 5
    if info.namespace and info.resource != "namespaces":
        depth += 2
    return depth


async def _subresource(app: App, request: Request, resource: Resource) -> Response:
    name = request.info.subresource
    declared = (
        (name == "status" and resource.has_status)
        or (name == "scale" and resource.scale is not None)
        or any(sub.name == name for sub in resource.subresources)
    )
    module = SUBRESOURCES.get(name)
    if not declared or module is None:
        raise NotFound(_NOT_FOUND, details={})
    return await verb(module)(app, request, resource)


def passed_on(app: App, url: bytes) -> bool:
    """Whether a request for the URL is another server's, and its body none of ours, however long it is."""
    return b"/proxy" in url or bool(
        app.aggregated and _group_version(url.partition(b"?")[0].decode("latin-1")) in app.aggregated
    )


def _group_version(path: str) -> tuple[str, str]:
    """The group and version that a path is below; that of OpenAPI's description of them too."""
    parts = path.removeprefix("/openapi/v3").split("/")
    if len(parts) > 3 and parts[1] == "apis":
        return parts[2], parts[3]
    return ("", parts[2]) if len(parts) > 2 and parts[1] == "api" else ("", "")


async def _route(app: App, request: Request) -> Response:
    path = request.path
    handler = app.routes.get(path) or app.routes.get(path.rstrip("/"))
    if handler is None:
        prefixes = [key for key in app.routes if key.endswith("/*") and path.startswith(key[:-1])]
        if not prefixes:
            return Response(404, b"404 page not found\n", "text/plain; charset=utf-8")
        handler = app.routes[max(prefixes, key=len)]
    return await handler(app, request)
