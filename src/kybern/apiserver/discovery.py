"""What this server serves: /api, /apis and below, in the legacy shape and as aggregated discovery.

Documents are made from the scheme when asked for and kept as bytes until the scheme changes.
Source: API reference, APIGroupDiscoveryList v2 apidiscovery.k8s.io; KEP-3352 Aggregated Discovery.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import orjson

from kybern.api.apiextensions.custom import CustomResource
from kybern.api.resource import Resource, Subresource
from kybern.api.scheme import Scheme
from kybern.api.types import Object
from kybern.apiserver.aggregator.priorities import CUSTOM, priority
from kybern.apiserver.answers import rendered
from kybern.apiserver.negotiation import JSON, PROTOBUF, YAML, Shape, aggregated, unconverted
from kybern.apiserver.request import Request, Response
from kybern.process import features

GROUP_ORDER = (
    "", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch",
    "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
    "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
    "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io",
)  # fmt: skip
"""Built-in groups as clients see them, which is also how kubectl settles ambiguous names; custom groups follow."""

_AGGREGATED = ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList")
_SUBRESOURCE_VERBS = ("get", "patch", "update")
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?$")


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sort key of kube-like versions, best first: v2, v1, v1beta2, v1alpha1, then others by name."""
    match = _VERSION.match(version)
    if not match:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), "")


class Other(NamedTuple):
    """A version of a group that a server behind this one serves. `resources` are APIResourceDiscoveries; they are
    `stale` while that server can't be asked."""

    group: str
    version: str
    group_priority: int
    version_priority: int
    resources: list[Object]
    stale: bool = False


Groups: TypeAlias = dict[str, Mapping[str, "list[Resource] | Other"]]
"""group -> version -> its resources, or who else serves it."""


class Others(Protocol):
    """Who is behind this server."""

    version: int

    def others(self) -> Sequence[Other]: ...


class Discovery:
    """Serves the discovery paths from a scheme, and of what `others` serve those that name it among the rest."""

    others: Others | None = None

    def __init__(self, scheme: Scheme, address: str = "") -> None:
        self._scheme = scheme
        self._address = address
        """host:port that clients outside reach this server at."""
        self._version = (-1, 0)
        self._documents: dict[tuple[str, str], tuple[bytes, str]] = {}

    async def serve(self, request: Request) -> Response:
        """Answer a discovery path; an unknown group or version is 404. Raises NotAcceptable."""
        path = request.path.rstrip("/")
        group, version, kind = _AGGREGATED
        media = aggregated(request.headers.get("accept", ""), *_AGGREGATED) if path in ("/api", "/apis") else ""
        body, etag = self.document(path, version if media else "")
        if not body:
            return Response(404, b"404 page not found\n", "text/plain; charset=utf-8")
        if not media:
            shape = unconverted(request)
            answer = Response(200, body) if shape.plain else rendered(request, orjson.loads(body), shape)
            answer.headers.append(("cache-control", "no-cache, private"))
            return answer
        headers = [("etag", etag), ("vary", "Accept"), ("cache-control", "public")]
        if request.headers.get("if-none-match") == etag:
            return Response(304, b"", "", headers)
        headers.insert(0, ("content-type", f"{media};g={group};v={version};as={kind}"))
        if media == JSON:
            return Response(200, body, "", headers)
        answer = rendered(request, orjson.loads(body), Shape(yaml=media == YAML, protobuf=media == PROTOBUF))
        answer.headers = headers
        return answer

    def document(self, path: str, shape: str = "") -> tuple[bytes, str]:
        """A document's bytes and ETag; empty where there is none. `shape` is "" or the aggregated version."""
        version = (self._scheme.version, self.others.version if self.others is not None else 0)
        if self._version != version:
            self._documents.clear()
            self._version = version
        key = (path, shape)
        if key not in self._documents:
            made = self._aggregated(path, shape) if shape else self._legacy(path)
            body = orjson.dumps(made) if made else b""
            self._documents[key] = (body, f'"{hashlib.sha512(body).hexdigest().upper()}"')
        return self._documents[key]

    def groups(self) -> dict[str, dict[str, list[Resource]]]:
        """group -> version -> resources by name; versions best first."""
        found: dict[str, dict[str, list[Resource]]] = {}
        for resource in sorted(self._scheme, key=lambda r: r.plural):
            for version in resource.versions:
                view = resource.views.get(version, resource)
                found.setdefault(resource.group, {}).setdefault(version, []).append(view)
        order = {group: (i, "") for i, group in enumerate(GROUP_ORDER)}
        groups = sorted(found, key=lambda group: order.get(group, (len(order), group)))
        return {group: dict(sorted(found[group].items(), key=lambda item: version_rank(item[0]))) for group in groups}

    def _merged(self) -> Groups:
        """The groups, with those of others where their priority puts them."""
        others = self.others.others() if self.others is not None else ()
        found: Groups = dict(self.groups())
        if not others:
            return found
        places = {group: (-priority(group, "v1").group if group in GROUP_ORDER else -CUSTOM.group) for group in found}
        versions: dict[tuple[str, str], int] = {}
        for other in others:
            found[other.group] = {**found.get(other.group, {}), other.version: other}
            places[other.group] = min(places.get(other.group, 0), -other.group_priority)
            versions[other.group, other.version] = -other.version_priority
        merged: Groups = {}
        for group in sorted(found, key=lambda name: places[name]):
            by_rank = sorted(
                found[group],
                key=lambda version: (versions.get((group, version), -CUSTOM.version), version_rank(version)),
            )
            merged[group] = {version: found[group][version] for version in by_rank}
        return merged

    def _legacy(self, path: str) -> Object | None:
        groups = self._merged()
        match path.split("/")[1:]:
            case ["api"]:
                return {
                    "kind": "APIVersions",
                    "versions": list(groups.get("", {"v1": []})),
                    "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}],
                }
            case ["apis"]:
                listed = [_group(name, versions) for name, versions in groups.items() if name]
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
            case ["apis", group] if group in groups:
                return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, groups[group])}
            case ["api", version] if version in groups.get("", {}):
                return _resource_list("", version, self.groups()[""][version])
            case ["apis", group, version] if version in (mine := self.groups().get(group, {})):
                return _resource_list(group, version, mine[version])
        return None

    def _aggregated(self, path: str, shape: str) -> Object:
        items = [
            {
                "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
                "versions": [
                    _described(version, resources) for version, resources in versions.items()
                ],
            }
            for group, versions in self._merged().items()
            if bool(group) == (path == "/apis")
        ]
        kind = {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{shape}"}
        return {**kind, "metadata": {}, "items": items}


def _described(version: str, resources: list[Resource] | Other) -> Object:
    if isinstance(resources, Other):
        said, stale = resources.resources, resources.stale
    else:
        said, stale = [_discovered(resource, version) for resource in resources], False
    return {"version": version, "resources": said, "freshness": "Stale" if stale else "Current"}


def _group(name: str, versions: Iterable[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resource_list(group: str, version: str, resources: Iterable[Resource]) -> Object:
    entries = [entry for resource in resources for entry in _entries(resource, version)]
    head = {"kind": "APIResourceList", **({"apiVersion": "v1"} if group else {})}
    return {**head, "groupVersion": f"{group}/{version}" if group else version, "resources": entries}


def singular(resource: Resource) -> str:
    """The singular name kubectl accepts and prints."""
    return resource.singular or resource.kind.lower()


def storage_hash(resource: Resource) -> str:
    """Tells migrators in which version objects are stored, without naming it."""
    version = resource.written_as if isinstance(resource, CustomResource) else resource.stored_as
    digest = hashlib.sha256(f"{resource.group}/{version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _stored(resource: Resource) -> bool:
    return "list" in resource.verbs


def subresources(resource: Resource) -> list[Subresource]:
    """All subresources by name, with `status` and `scale` spelled out; a kind of "" is the parent's."""
    found = list(resource.subresources)
    if resource.has_status:
        found.append(Subresource("status", "", verbs=_SUBRESOURCE_VERBS))
    if resource.scale:
        found.append(Subresource("scale", "Scale", "autoscaling", "v1", _SUBRESOURCE_VERBS))
    return sorted(found, key=lambda sub: sub.name)


def _entries(resource: Resource, version: str) -> Iterable[Object]:
    entry: Object = {
        "name": resource.plural,
        "singularName": singular(resource),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if _stored(resource) and features.enabled("StorageVersionHash"):
        entry["storageVersionHash"] = storage_hash(resource)
    yield entry
    for sub in subresources(resource):
        named: Object = {"name": f"{resource.plural}/{sub.name}", "singularName": "", "namespaced": resource.namespaced}
        if sub.kind and (sub.group, sub.version) != (resource.group, version):
            named |= {"group": sub.group, "version": sub.version}
        yield {**named, "kind": sub.kind or resource.kind, "verbs": sorted(sub.verbs)}


def _discovered(resource: Resource, version: str) -> Object:
    own = {"group": resource.group, "version": version, "kind": resource.kind}
    found: Object = {
        "resource": resource.plural,
        "responseKind": own,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": singular(resource),
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    subs = [
        {
            "subresource": sub.name,
            "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind} if sub.kind else own,
            "verbs": sorted(sub.verbs),
        }
        for sub in subresources(resource)
    ]
    if subs:
        found["subresources"] = subs
    return found
