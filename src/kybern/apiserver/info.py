"""From method, path and query to a RequestInfo: which resource, which verb.

Source: Kubernetes API concepts, "Resource URIs" and "API verbs".
"""

from __future__ import annotations

from kybern.apiserver.request import Request, RequestInfo

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SELECTING = frozenset(("list", "watch", "deletecollection"))
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


def parse(request: Request) -> RequestInfo:
    """What the request asks for. Never fails: what isn't a resource is a non-resource path."""
    path, method = request.path, request.method
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        if len(parts) < 3:
            return RequestInfo(method.lower(), path)
        group, version, segments = "", parts[1], parts[2:]
    elif parts[0] == "apis":
        if len(parts) < 4:
            return RequestInfo(method.lower(), path)
        group, version, segments = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(method.lower(), path)
    verb = _VERBS.get(method, "")
    watched = False
    if segments[0] == "watch" and len(segments) > 1:
        watched, segments = True, segments[1:]
    info = RequestInfo(verb, path, True, group, version)
    _locate(info, segments)
    if not info.name or watched:
        if verb == "get":
            info.verb = "watch" if watched or (request.query and request.flag("watch")) else "list"
        elif verb == "delete" and not info.name:
            info.verb = "deletecollection"
        if "Selector" in request.query and info.verb in _SELECTING:
            info.fields, info.labels = request.arg("fieldSelector"), request.arg("labelSelector")
            info.name = info.name or _selected_name(info.fields)
    return info


def _locate(info: RequestInfo, segments: list[str]) -> None:
    """Fill in namespace, resource, name and subresource of a path below group and version."""
    if segments[0] == "namespaces" and len(segments) > 1:
        info.namespace = segments[1]
        if len(segments) > 2 and not (len(segments) == 3 and segments[2] in _NAMESPACE_SUBRESOURCES):
            segments = segments[2:]
    info.resource = segments[0]
    if len(segments) > 1:
        info.name = segments[1]
    if len(segments) > 2:
        info.subresource = segments[2]
        if len(segments) > 3:
            info.rest = "/" + "/".join(segments[3:])


def _selected_name(fields: str) -> str:
    """The name a field selector asks for, which counts as the name for authorization."""
    for term in fields.split(","):
        left, _, right = term.partition("=")
        if left.strip() == "metadata.name" and right:
            return right.lstrip("=").strip()
    return ""
