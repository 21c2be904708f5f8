"""pods/exec, attach and portforward: the client's upgraded connection, joined to one to the pod's kubelet.

A SPDY client is joined byte by byte. A WebSocket client is translated: exec and attach to SPDY's v4 streams, a
tunnelled port-forward to the SPDY connection inside it, and plain port-forward channels to one connection per port.
Source: KEP-4006; API reference, Pod v1, connect operations.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable, Sequence
from urllib.parse import quote, urlencode

from kybern.api.errors import BadRequest, Forbidden, InternalError
from kybern.api.resource import Resource
from kybern.apiserver import proxy
from kybern.apiserver.app import App
from kybern.apiserver.kubelets import dialling, kubelet_url, kubelets_of, unreachable
from kybern.apiserver.pools import Where
from kybern.apiserver.request import Request, Response, Upgrade
from kybern.apiserver.verbs.connect_pod import container_of, pod_of, require_node
from kybern.streaming import channels, exit_status, port_forward, relay, remote_command, tunnel, websocket
from kybern.streaming.client import UpgradeRefused
from kybern.streaming.client import upgrade as ask_upgrade
from kybern.streaming.pipes import Reader, Writer
from kybern.streaming.port_forward import Forwarded, Forwarder
from kybern.streaming.remote_command import Options, Session
from kybern.streaming.websocket import Pipe, WebSocket

log = logging.getLogger(__name__)


async def execute(app: App, request: Request, resource: Resource) -> Response:
    """pods/exec. Raises NotFound, BadRequest, Forbidden (an unknown WebSocket subprotocol)."""
    return await _command(app, request, resource, "exec", [("command", c) for c in request.args.get("command", ())])


async def attach(app: App, request: Request, resource: Resource) -> Response:
    """pods/attach. Raises as execute."""
    return await _command(app, request, resource, "attach", [])


async def forward_ports(app: App, request: Request, resource: Resource) -> Response:
    """pods/portforward. Raises as execute."""
    pod = await pod_of(app, request, resource)
    url = await _url(app, request, require_node(pod), "portForward")
    if not websocket.is_websocket(request.headers):
        return await _raw(app, request, url)
    if port_forward.TUNNEL_PROTOCOL in websocket.offered(request.headers):
        return await _tunnelled(app, request, url)
    protocol, headers = _agree(request, port_forward.WEBSOCKET_PROTOCOLS)
    try:
        ports = port_forward.ports_of(request.args)
    except ValueError as error:
        raise BadRequest(str(error)) from None

    async def translate(reader: Reader, writer: Writer) -> None:
        async with port_forward.serve_websocket(reader, writer, ports, protocol) as (pairs, closed):
            await _forward_channels(app, url, pairs, closed)

    return Upgrade(translate, headers)


async def _command(
    app: App, request: Request, resource: Resource, verb: str, parameters: Iterable[tuple[str, str]]
) -> Response:
    """exec or attach: the kubelet's URL, and how the client is joined to it."""
    pod = await pod_of(app, request, resource)
    container, options = container_of(pod, request.arg("container")), Options.of(request.args)
    wanted = {"input": options.stdin, "output": options.stdout, "error": options.stderr, "tty": options.tty}
    query = urlencode([*((name, "1") for name, wants in wanted.items() if wants), *parameters])
    url = f"{await _url(app, request, require_node(pod), verb)}/{quote(container)}?{query}"
    if not websocket.is_websocket(request.headers):
        return await _raw(app, request, url)
    if not (options.stdin or options.stdout or options.stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    protocol, headers = _agree(request, remote_command.WEBSOCKET_PROTOCOLS)

    async def translate(reader: Reader, writer: Writer) -> None:
        async with remote_command.serve_websocket(reader, writer, options, protocol) as client:
            await relay.until_gone(client.closed, lambda: _run_remotely(app, url, options, client))

    return Upgrade(translate, headers)


async def _url(app: App, request: Request, node: str, verb: str) -> str:
    """The kubelet's URL for a pod. Raises NotFound, InternalError."""
    base = await kubelet_url(app, node)
    return f"{base}/{verb}/{quote(request.info.namespace)}/{quote(request.info.name)}"


def _agree(request: Request, supported: tuple[str, ...]) -> tuple[str, list[tuple[str, str]]]:
    """The WebSocket subprotocol and the answer's headers. Raises Forbidden, BadRequest."""
    agreed = websocket.accept(request.headers, supported)
    if agreed is None:
        offered = websocket.offered(request.headers)
        if offered:
            names = ", ".join(name for name in supported if name)
            raise Forbidden(f"requested protocol(s) are not supported: [{' '.join(offered)}]; supports [{names}]")
        raise BadRequest("the WebSocket handshake is malformed")
    return agreed


async def _raw(app: App, request: Request, url: str) -> Response:
    """Join a SPDY client to the kubelet's SPDY."""
    if not proxy.wants_upgrade(request):
        raise BadRequest("Upgrade request required")
    return await proxy.upgrade(app.pools, request, Where(url, kubelets_of(app).ssl))


async def _ask(
    app: App, url: str, protocols: Sequence[str]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, str]]:
    """The kubelet's SPDY. Raises UpgradeRefused, OSError."""
    return await ask_upgrade(url, kubelets_of(app).ssl, protocols, through=app.pools.through)


async def _tunnelled(app: App, request: Request, url: str) -> Response:
    """Join the SPDY connection inside a client's WebSocket to the kubelet's."""
    _, headers = _agree(request, (port_forward.TUNNEL_PROTOCOL,))
    try:
        far_reader, far_writer, _ = await _ask(app, url, [port_forward.PROTOCOL])
    except UpgradeRefused as refused:
        return Response(refused.status, refused.body, refused.headers.get("content-type", "text/plain"))
    except (OSError, ssl.SSLError) as error:
        raise unreachable(error) from error

    async def unwrap(reader: Reader, writer: Writer) -> None:
        pipe = Pipe(WebSocket(reader, writer, client=False))
        await tunnel(pipe, pipe, far_reader, far_writer)
        await pipe.wait_closed()

    return Upgrade(unwrap, headers)


async def _run_remotely(app: App, url: str, options: Options, client: Session) -> None:
    """Run the command at the kubelet, and tell the client how it ended, whatever happened."""
    try:
        reader, writer, answered = await _ask(app, url, remote_command.SPDY_PROTOCOLS)
        protocol = answered.get("x-stream-protocol-version", channels.V1)
        async with remote_command.connect_spdy(reader, writer, options, protocol) as remote:
            status = await relay.command(client, remote)
    except UpgradeRefused as refused:
        status = _failure(str(refused))
    except (OSError, ssl.SSLError) as error:
        status = _failure(f"error dialing backend: {dialling(error)}")
    await client.finish(status)


def _failure(why: str) -> exit_status.Status:
    return InternalError(f"Internal error occurred: {why}").status()


async def _forward_channels(app: App, url: str, pairs: list[Forwarded], closed: asyncio.Event) -> None:
    """One connection at the kubelet per port; ends when the client or all of them have ended."""
    try:
        reader, writer, _ = await _ask(app, url, [port_forward.PROTOCOL])
    except (UpgradeRefused, OSError, ssl.SSLError) as error:
        why = str(error) if isinstance(error, UpgradeRefused) else f"error dialing backend: {dialling(error)}"
        for pair in pairs:
            await pair.fail(why)
        return
    async with Forwarder(reader, writer, client=True) as forwarder:
        await relay.until_gone(closed, lambda: relay.ports(pairs, forwarder))
