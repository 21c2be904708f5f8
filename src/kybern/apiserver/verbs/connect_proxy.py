"""pods/proxy, services/proxy, nodes/proxy: HTTP to what runs in the cluster, by way of the API server.

The name in the path is `name`, `name:port` or `scheme:name:port`.
Source: API reference, "connect ... requests to proxy of Pod/Service/Node".
"""

from __future__ import annotations

import ssl
from typing import NamedTuple
from urllib.parse import quote

from kybern.api.errors import BadRequest, NotFound, ServiceUnavailable
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver import proxy
from kybern.apiserver.app import App
from kybern.apiserver.kubelets import anybody, authority, kubelets_of
from kybern.apiserver.request import Request, Response
from kybern.process.clock import random

METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


class Target(NamedTuple):
    """What a name in a proxy path says."""

    scheme: str
    name: str
    port: str


def parse(text: str, what: str) -> Target:
    """Take `[scheme:]name[:port]` apart. Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 3 and parts[0] in ("http", "https", ""):
        scheme, name, port = parts
    elif len(parts) <= 2:
        scheme, name, port = "", parts[0], (parts[1] if len(parts) == 2 else "")
    else:
        raise BadRequest(f'invalid {what} request "{text}"')
    if not name or (port.isdecimal() and not 0 < int(port) < 65536):
        raise BadRequest(f'invalid {what} request "{text}"')
    return Target(scheme, name, port)


async def pod(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, BadRequest, ServiceUnavailable."""
    target = parse(request.info.name, "pod")
    found = await app.registry.get(resource, request.info.namespace, target.name)
    host = (found.get("status") or {}).get("podIP")
    if not host:
        raise BadRequest("address not allowed")
    port = target.port or _first_port(found)
    return await _forward(app, request, target.scheme or "http", authority(host, port) if port else _bare(host))


def _bare(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _first_port(pod: Object) -> str:
    """The first port a container declares; "" if none does."""
    ports = (port for container in pod["spec"]["containers"] for port in container.get("ports") or ())
    return next((str(port["containerPort"]) for port in ports), "")


async def service(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, BadRequest, ServiceUnavailable."""
    target = parse(request.info.name, "service")
    namespace = request.info.namespace
    found = await app.registry.get(resource, namespace, target.name)
    address = await _endpoint(app, found, namespace, target)
    return await _forward(app, request, target.scheme or "http", address)


async def _endpoint(app: App, service: Object, namespace: str, target: Target) -> str:
    """host:port of one ready endpoint of the service's port. Raises ServiceUnavailable, NotFound."""
    ports = service["spec"].get("ports") or []
    if not target.port:
        port_name = ports[0].get("name", "") if len(ports) == 1 else ""
    else:
        match = next((p for p in ports if target.port in (p.get("name"), str(p["port"]))), None)
        if match is None:
            raise ServiceUnavailable(f'no service port "{target.port}" found for service "{target.name}"')
        port_name = match.get("name", "")
    endpoints = app.registry.scheme.resource("", "endpoints")
    assert endpoints is not None
    try:
        found = await app.registry.get(endpoints, namespace, target.name)
    except NotFound:
        found = {}
    ready = [
        authority(address["ip"], port["port"])
        for subset in found.get("subsets") or ()
        for port in subset.get("ports") or ()
        if port.get("name", "") == port_name
        for address in subset.get("addresses") or ()
    ]
    if not ready:
        raise ServiceUnavailable(f'no endpoints available for service "{target.name}"')
    return random.choice(ready)


async def node(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, BadRequest, InternalError, ServiceUnavailable."""
    target = parse(request.info.name, "node")
    kubelets, found = kubelets_of(app), await app.registry.get(resource, "", target.name)
    host, port = kubelets.address(found), kubelets.port_of(found)
    if target.port in ("", str(port)):
        return await _forward(app, request, "https", authority(host, port), kubelets.ssl)
    return await _forward(app, request, target.scheme or "http", authority(host, target.port))


async def _forward(
    app: App, request: Request, scheme: str, address: str, tls: ssl.SSLContext | None = None
) -> Response:
    """Pass the request on; a path without its last slash is redirected, so that relative links work."""
    rest = request.info.rest
    if not rest and not request.path.endswith("/"):
        query = f"?{request.query}" if request.query else ""
        return Response(301, b"", "", [("location", f"{request.path}/{query}")])
    if request.path.endswith("/") and not rest.endswith("/"):
        rest += "/"
    path = quote(rest, safe="/:@!$&'()*+,;=~")
    url = f"{scheme}://{address}{path}"
    if request.query:
        url += f"?{request.query}"
    return await proxy.forward(app.pools, request, url, (tls or anybody()) if scheme == "https" else None)
