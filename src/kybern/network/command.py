"""`kybern network`: the agent that keeps a node's routes to the pods of other nodes."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from contextlib import AsyncExitStack

from kybern.client.informer import InformerFactory
from kybern.client.kubeconfig import connect, in_cluster, load
from kybern.network import kernel
from kybern.network.agent import Agent, trim
from kybern.network.kernel import KernelError
from kybern.network.routes import MODES, Options
from kybern.process.daemon import OperatorError, run_until_signalled
from kybern.process.health import serve_health

log = logging.getLogger(__name__)


def add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--kubeconfig", metavar="FILE", help="the API server and who we are; inside a pod its service account")
    add("--hostname-override", default="", metavar="NAME", help="the node's name (default: the host's)")
    add("--mode", default="auto", choices=MODES, help="how to reach other nodes' pods: `direct`, by routes through nodes on the same link; `vxlan`, by a tunnel; `auto`, directly where the node is on the same subnet")  # fmt: skip  # noqa: E501
    add("--interface", default="", metavar="NAME", help="towards the other nodes (default: the one with the node's address)")  # fmt: skip  # noqa: E501
    add("--vxlan-port", type=int, default=8472, metavar="PORT", help="UDP port of the tunnel (default: %(default)s)")
    add("--vxlan-vni", type=int, default=1, metavar="NUMBER", help="the tunnel's number (default: %(default)s)")
    add("--healthz-bind-address", default="127.0.0.1:10262", metavar="HOST:PORT", help='/healthz and /metrics; "" for none')  # fmt: skip  # noqa: E501
    add("--cleanup", action="store_true", help="remove our routes and the tunnel and end")


async def run(args: argparse.Namespace) -> int:
    options = Options(args.mode, args.interface, args.vxlan_vni, args.vxlan_port)
    if not 0 < options.vni < 1 << 24:
        raise OperatorError(f"--vxlan-vni={options.vni}: must be from 1 to {(1 << 24) - 1}")
    if not 0 < options.port < 1 << 16:
        raise OperatorError(f"--vxlan-port={options.port}: must be from 1 to {(1 << 16) - 1}")
    if args.cleanup:
        try:
            await asyncio.to_thread(kernel.cleanup)
        except KernelError as error:
            raise OperatorError(f"can't remove all: {error}") from error
        return 0
    await run_until_signalled(_serve(args, options))
    return 0


async def _serve(args: argparse.Namespace, options: Options) -> None:
    name = (args.hostname_override or socket.gethostname()).strip().lower()
    async with AsyncExitStack() as stack:
        client = connect(load(args.kubeconfig) if args.kubeconfig else in_cluster(), "kybern-network")
        stack.push_async_callback(client.close)
        factory = InformerFactory(client)
        stack.push_async_callback(factory.stop)
        nodes = factory.informer("v1", "nodes", namespaced=False, transform=trim)
        agent = Agent(name, client, nodes, options)
        if args.healthz_bind_address:
            health = await serve_health(*_host_port(args.healthz_bind_address), {"routes": agent.wrong})
            stack.push_async_callback(health.close)
        factory.start()
        await nodes.synced()
        log.info("keeping routes of node %s, mode %s", name, options.mode)
        await agent.run()


def _host_port(text: str) -> tuple[str, int]:
    """Raises OperatorError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise OperatorError(f"--healthz-bind-address={text} is not HOST:PORT")
    return host.strip("[]"), int(port)
