"""`kybern proxy`: kube-proxy in nftables mode."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from contextlib import AsyncExitStack
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import psutil

from kybern.api.types import Object
from kybern.client.informer import InformerFactory
from kybern.client.kubeconfig import connect, in_cluster, load
from kybern.process import features
from kybern.process.daemon import OperatorError, run_until_signalled
from kybern.proxy.base import BackendError
from kybern.proxy.conntrack import Conntrack
from kybern.proxy.healthcheck import Health, ServiceHealth, metrics_answer, serve
from kybern.proxy.nftables import NFTables
from kybern.proxy.proxier import Proxier
from kybern.proxy.rules import Options
from kybern.proxy.services import SELECTOR, Services

log = logging.getLogger(__name__)


def add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--kubeconfig", metavar="FILE", help="the API server and who we are; inside a pod its service account")
    add("--hostname-override", default="", metavar="NAME", help="the node's name (default: the host's)")
    add("--proxy-mode", default="nftables", metavar="MODE", help="nftables; there is no other")
    add(
        "--cluster-cidr", default="", help="the range pods get addresses from; what comes from elsewhere is masqueraded"
    )
    add("--nodeport-addresses", default="primary", metavar="CIDRS", help="where node ports answer: `primary`, the node's address, or ranges of local addresses, comma separated")  # fmt: skip  # noqa: E501
    add("--bind-address", default="0.0.0.0", help="the node's address, if it is not as its Node says")
    add("--healthz-bind-address", default="0.0.0.0:10256", metavar="HOST:PORT", help='/healthz and /livez; "" for none')
    add("--metrics-bind-address", default="127.0.0.1:10249", metavar="HOST:PORT", help='/metrics; "" for none')
    features.add_flag(parser)
    add("--masquerade-all", action="store_true", help="masquerade everything sent to a cluster IP")
    add("--cleanup", action="store_true", help="remove all rules of the proxy and end")


async def run(args: argparse.Namespace) -> int:
    features.start(args.feature_gates, prefixed=False)
    mode = args.proxy_mode or "nftables"
    if mode != "nftables":
        raise OperatorError(f'there is no proxy mode "{mode}": use --proxy-mode=nftables')
    backend = NFTables(options(args))
    if args.cleanup:
        try:
            await backend.cleanup()
        except BackendError as error:
            raise OperatorError(f"can't remove the table kube-proxy: {error}; run it as root (sudo)") from error
        return 0
    await run_until_signalled(_serve(args, backend))
    return 0


def options(args: argparse.Namespace) -> Options:
    """The flags as Options. Raises OperatorError for ranges that are none."""
    cidrs = _ranges("--cluster-cidr", args.cluster_cidr)
    ranges = [] if args.nodeport_addresses == "primary" else _ranges("--nodeport-addresses", args.nodeport_addresses)
    everywhere = any(network.prefixlen == 0 for network in ranges)
    try:
        ip_address(args.bind_address)
    except ValueError as error:
        raise OperatorError(f"--bind-address: {error}") from error
    return Options(tuple(map(str, cidrs)), args.masquerade_all, everywhere)


async def _serve(args: argparse.Namespace, backend: NFTables) -> None:
    await backend.check()
    node_name = (args.hostname_override or socket.gethostname()).strip().lower()
    async with AsyncExitStack() as stack:
        health = Health()
        if args.healthz_bind_address:
            server = await serve(*_host_port("--healthz-bind-address", args.healthz_bind_address), health.answer)
            stack.push_async_callback(server.close)
        if args.metrics_bind_address:
            server = await serve(*_host_port("--metrics-bind-address", args.metrics_bind_address), metrics_answer)
            stack.push_async_callback(server.close)
        client = connect(load(args.kubeconfig) if args.kubeconfig else in_cluster(), "kube-proxy")
        stack.push_async_callback(client.close)
        checks = ServiceHealth("0.0.0.0", health)
        stack.push_async_callback(checks.close)
        proxier = Proxier(Services(node_name), backend, health, checks, Conntrack())
        factory = InformerFactory(client)
        _follow(factory, proxier, args, node_name)
        stack.push_async_callback(factory.stop)
        factory.start()
        await asyncio.gather(
            factory.informer("v1", "services", label_selector=SELECTOR).synced(),
            factory.informer("discovery.k8s.io/v1", "endpointslices", label_selector=SELECTOR).synced(),
        )
        log.info("proxying on node %s", node_name)
        await proxier.run()


def _follow(factory: InformerFactory, proxier: Proxier, args: argparse.Namespace, node_name: str) -> None:
    """Keep the proxier as the API has it."""
    factory.informer("v1", "services", label_selector=SELECTOR).on_change(proxier.see_service)
    factory.informer("discovery.k8s.io/v1", "endpointslices", label_selector=SELECTOR).on_change(proxier.see_slice)
    known: tuple[str, ...] = ()

    def node(old: Object | None, new: Object | None) -> None:
        nonlocal known
        proxier.health.see_node(new)
        addresses = node_addresses(args, new)
        if addresses != known:
            known = addresses
            proxier.see_node_addresses(addresses)

    nodes = factory.informer("v1", "nodes", namespaced=False, field_selector=f"metadata.name={node_name}")
    nodes.on_change(node)
    # The proxy may start before its node is registered.
    node(None, None)


def node_addresses(args: argparse.Namespace, node: Object | None) -> tuple[str, ...]:
    """Where node ports answer."""
    if args.nodeport_addresses != "primary":
        ranges = _ranges("--nodeport-addresses", args.nodeport_addresses)
        own = {a.address for found in psutil.net_if_addrs().values() for a in found if a.family == socket.AF_INET}
        return tuple(sorted(text for text in own if any(IPv4Address(text) in network for network in ranges)))
    if not ip_address(args.bind_address).is_unspecified:
        return (args.bind_address,)
    found = (node or {}).get("status", {}).get("addresses") or []
    for kind in ("InternalIP", "ExternalIP"):
        for address in found:
            if address["type"] == kind and ":" not in address["address"]:
                return (address["address"],)
    return ()


def _ranges(flag: str, text: str) -> list[IPv4Network]:
    """The IPv4 ranges of a list; those of IPv6 are left to a proxy that has it. Raises OperatorError."""
    try:
        networks = [ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise OperatorError(f"{flag}: {error}") from error
    return [network for network in networks if isinstance(network, IPv4Network)]


def _host_port(flag: str, text: str) -> tuple[str, int]:
    """Upstream takes a bare address, too. Raises OperatorError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise OperatorError(f"{flag}={text} is not HOST:PORT")
    return host.strip("[]"), int(port)
