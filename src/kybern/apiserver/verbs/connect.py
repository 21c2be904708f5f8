"""The subresources that connect a client to something in the cluster: log, exec, attach, portforward, proxy.

connect_streams.py and connect_log.py go to the pod's kubelet, connect_proxy.py to the pod, service or node itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

from kybern.api.errors import MethodNotSupported, NotFound
from kybern.api.resource import Resource
from kybern.apiserver.admission.base import CONNECT, Attributes
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import decide, refuse
from kybern.apiserver.request import Request, Response
from kybern.apiserver.verbs import connect_log, connect_proxy, connect_streams

Connect: TypeAlias = Callable[[App, Request, Resource], Awaitable[Response]]

_SERVED: dict[tuple[str, str], tuple[Connect, str, frozenset[str]]] = {
    ("pods", "log"): (connect_log.serve, "PodLogOptions", frozenset(("GET",))),
    ("pods", "exec"): (connect_streams.execute, "PodExecOptions", frozenset(("GET", "POST"))),
    ("pods", "attach"): (connect_streams.attach, "PodAttachOptions", frozenset(("GET", "POST"))),
    ("pods", "portforward"): (connect_streams.forward_ports, "PodPortForwardOptions", frozenset(("GET", "POST"))),
    ("pods", "proxy"): (connect_proxy.pod, "PodProxyOptions", connect_proxy.METHODS),
    ("services", "proxy"): (connect_proxy.service, "ServiceProxyOptions", connect_proxy.METHODS),
    ("nodes", "proxy"): (connect_proxy.node, "NodeProxyOptions", connect_proxy.METHODS),
}

_COMMANDING = frozenset(("exec", "attach", "portforward"))


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, MethodNotSupported, BadRequest, and what admission and the connection raise."""
    info = request.info
    found = _SERVED.get((resource.plural, info.subresource))
    if found is None:
        raise NotFound("the server could not find the requested resource", details={})
    connect, kind, methods = found
    if request.method not in methods:
        raise MethodNotSupported("the server does not allow this method on the requested resource", details={})
    if info.subresource in _COMMANDING and info.verb != "create":
        # A WebSocket begins with a GET, but who may only look must not act.
        creating = replace(info, verb="create")
        refuse(request.user, creating, await decide(app, request.user, creating))
    if app.admission is not None and info.subresource != "log":
        options = {"kind": kind, "apiVersion": "v1", **_options(request)}
        attributes = Attributes(
            CONNECT, resource, info.namespace, info.name, request.user, options, subresource=info.subresource,
            warnings=request.warnings, request=request,
        )  # fmt: skip
        await app.admission.admit(attributes)
        await app.admission.validate(attributes)
    return await connect(app, request, resource)


def _options(request: Request) -> dict[str, object]:
    """The query as the options object that admission looks at."""
    options: dict[str, object] = {}
    for name, values in request.args.items():
        if name in ("command", "ports"):
            options[name] = list(values)
        elif name in ("stdin", "stdout", "stderr", "tty"):
            options[name] = request.flag(name)
        else:
            options[name] = values[0]
    if request.info.subresource == "proxy":
        return {"path": request.info.rest}
    return options
