"""exec, attach and port-forward: the client's upgraded connection, joined to the runtime's streaming server.

The runtime speaks SPDY. A SPDY client, also one inside a WebSocket, is joined to it byte by byte; the channels of a
WebSocket are translated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from kybern.kubelet.http.message import Answer, Refused, Request, Response, Upgrade
from kybern.kubelet.http.served import Served, running_container, worker_of
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.runtime.client import RuntimeFailure
from kybern.streaming import channels, exit_status, port_forward, relay, remote_command, tunnel, websocket
from kybern.streaming.client import PROTOCOL_HEADER, SPDY, UpgradeRefused, upgrade
from kybern.streaming.pipes import Reader, Writer
from kybern.streaming.port_forward import Forwarder
from kybern.streaming.remote_command import Options, Session
from kybern.streaming.websocket import Pipe, WebSocket


async def execute(kubelet: Served, request: Request, namespace: str, pod: str, container: str, uid: str = "") -> Answer:
    """Run a command in a container. Raises Refused."""
    options = _options(request)
    found = running_container(kubelet, worker_of(kubelet, namespace, pod, uid), container)
    streams = {"stdin": options.stdin, "stdout": options.stdout, "stderr": options.stderr, "tty": options.tty}
    asked = cri.ExecRequest(container_id=found.id, cmd=request.query.get("command", []), **streams)
    return await _command(request, options, await _url(kubelet.host.runtime.exec_url(asked)))


async def attach(kubelet: Served, request: Request, namespace: str, pod: str, container: str, uid: str = "") -> Answer:
    """Join a container's own streams. Raises Refused."""
    options = _options(request)
    found = running_container(kubelet, worker_of(kubelet, namespace, pod, uid), container)
    streams = {"stdin": options.stdin, "stdout": options.stdout, "stderr": options.stderr, "tty": options.tty}
    asked = cri.AttachRequest(container_id=found.id, **streams)
    return await _command(request, options, await _url(kubelet.host.runtime.attach_url(asked)))


async def forward_ports(kubelet: Served, request: Request, namespace: str, pod: str, uid: str = "") -> Answer:
    """Connect to ports in a pod's network. Raises Refused."""
    worker = worker_of(kubelet, namespace, pod, uid)
    sandbox = kubelet.host.cache.get(worker.uid).sandbox
    if sandbox is None or not sandbox.ready:
        raise Refused(500, f'pod not found ("{pod}_{namespace}")')
    if not websocket.is_websocket(request.headers):
        _require_spdy(request)
        url = await _url(kubelet.host.runtime.port_forward_url(cri.PortForwardRequest(pod_sandbox_id=sandbox.id)))
        return await _raw(request, url)
    tunnelled = port_forward.TUNNEL_PROTOCOL in websocket.offered(request.headers)
    try:
        ports = [] if tunnelled else port_forward.ports_of(request.query)
    except ValueError as error:
        raise Refused(400, str(error)) from None
    asked = cri.PortForwardRequest(pod_sandbox_id=sandbox.id, port=ports)
    url = await _url(kubelet.host.runtime.port_forward_url(asked))
    return await (_tunnelled(request, url) if tunnelled else _channels(request, url, ports))


def _options(request: Request) -> Options:
    """The streams wanted. A terminal is asked for as the client says: its streams depend on that."""
    options = Options.of(request.query)
    if not (options.stdin or options.stdout or options.stderr):
        raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    return options


async def _url(asking: Awaitable[str]) -> str:
    """Where the runtime's streaming server waits for this session. Raises Refused."""
    try:
        return await asking
    except RuntimeFailure as error:
        codes = {"NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429}
        raise Refused(codes.get(error.code, 500), error.described) from None


def _require_spdy(request: Request) -> None:
    wants = "upgrade" in request.headers.get("connection", "").lower()
    if not wants or request.headers.get("upgrade", "").lower() != SPDY.lower():
        raise Refused(400, "Upgrade request required: to SPDY/3.1, or to websocket")


async def _dial(
    url: str, protocols: Sequence[str]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, str]]:
    """Raises Refused if the runtime's server can't be reached; UpgradeRefused."""
    try:
        return await upgrade(url, protocols=protocols)
    except OSError as error:
        raise Refused(500, f"error dialing the container runtime: {error}") from None


async def _raw(request: Request, url: str) -> Answer:
    """Join a SPDY client to the runtime's SPDY."""
    offered = [name.strip() for name in request.headers.get(PROTOCOL_HEADER.lower(), "").split(",") if name.strip()]
    try:
        far_reader, far_writer, answered = await _dial(url, offered)
    except UpgradeRefused as refused:
        return _passed_on(refused)
    headers = [("connection", "Upgrade"), ("upgrade", SPDY)]
    if agreed := answered.get(PROTOCOL_HEADER.lower()):
        headers.append((PROTOCOL_HEADER, agreed))

    async def join(reader: Reader, writer: Writer) -> None:
        await tunnel(reader, writer, far_reader, far_writer)

    return Upgrade(headers, join)


def _passed_on(refused: UpgradeRefused) -> Response:
    return Response(refused.status, refused.body, refused.headers.get("content-type", "text/plain"))


def _agree(request: Request, supported: tuple[str, ...]) -> tuple[str, list[tuple[str, str]]]:
    """The WebSocket subprotocol and the answer's headers. Raises Refused."""
    agreed = websocket.accept(request.headers, supported)
    if agreed is None:
        offered = " ".join(websocket.offered(request.headers))
        raise Refused(403, f"requested protocol(s) are not supported: [{offered}]; supports [{' '.join(supported)}]")
    return agreed


async def _command(request: Request, options: Options, url: str) -> Answer:
    if not websocket.is_websocket(request.headers):
        _require_spdy(request)
        return await _raw(request, url)
    protocol, headers = _agree(request, remote_command.WEBSOCKET_PROTOCOLS)

    async def translate(reader: Reader, writer: Writer) -> None:
        async with remote_command.serve_websocket(reader, writer, options, protocol) as client:
            await relay.until_gone(client.closed, lambda: _run(url, options, client))

    return Upgrade(headers, translate)


async def _run(url: str, options: Options, client: Session) -> None:
    """Run the command at the runtime, and tell the client how it ended, whatever happened."""
    try:
        reader, writer, answered = await _dial(url, remote_command.SPDY_PROTOCOLS)
        protocol = answered.get(PROTOCOL_HEADER.lower(), channels.V1)
        async with remote_command.connect_spdy(reader, writer, options, protocol) as remote:
            status = await relay.command(client, remote)
    except (UpgradeRefused, Refused, OSError) as problem:
        status = exit_status.failed(f"Internal error occurred: {problem}")
    await client.finish(status)


async def _tunnelled(request: Request, url: str) -> Answer:
    """Join the SPDY connection inside a client's WebSocket to the runtime's."""
    _, headers = _agree(request, (port_forward.TUNNEL_PROTOCOL,))
    try:
        far_reader, far_writer, _ = await _dial(url, [port_forward.PROTOCOL])
    except UpgradeRefused as refused:
        return _passed_on(refused)

    async def unwrap(reader: Reader, writer: Writer) -> None:
        pipe = Pipe(WebSocket(reader, writer, client=False))
        await tunnel(pipe, pipe, far_reader, far_writer)
        await pipe.wait_closed()

    return Upgrade(headers, unwrap)


async def _channels(request: Request, url: str, ports: Sequence[int]) -> Answer:
    """Translate WebSocket channels, a pair for each port."""
    protocol, headers = _agree(request, port_forward.WEBSOCKET_PROTOCOLS)

    async def translate(reader: Reader, writer: Writer) -> None:
        async with port_forward.serve_websocket(reader, writer, ports, protocol) as (pairs, closed):
            try:
                far_reader, far_writer, _ = await _dial(url, [port_forward.PROTOCOL])
            except (UpgradeRefused, Refused) as refused:
                for pair in pairs:
                    await pair.fail(str(refused))
                return
            async with Forwarder(far_reader, far_writer, client=True) as forwarder:
                await relay.until_gone(closed, lambda: relay.ports(pairs, forwarder))

    return Upgrade(headers, translate)
