"""`kybern dns`: the cluster's DNS server."""

from __future__ import annotations

import argparse
import asyncio
import logging
from argparse import ArgumentTypeError
from ipaddress import ip_address
from pathlib import Path

from kybern.api.types import Object
from kybern.client.informer import InformerFactory
from kybern.client.kubeconfig import connect, in_cluster, load
from kybern.dns.forward import Forwarder, nameservers
from kybern.dns.records import Records
from kybern.dns.server import Resolver, listen
from kybern.process.daemon import OperatorError, run_until_signalled
from kybern.process.flags import port
from kybern.process.health import serve_health

log = logging.getLogger(__name__)


def add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--kubeconfig", metavar="FILE", help="the API server and who we are; inside a pod its service account")
    add("--bind-address", default="0.0.0.0", help="where to answer")
    add("--port", type=port, default=53, help="on UDP and TCP")
    add("--cluster-domain", default="cluster.local", help="the zone of the cluster")
    add("--forward", default="/etc/resolv.conf", help="for other names: addresses, comma separated, or a resolv.conf")
    add("--healthz-bind-address", default="127.0.0.1", metavar="ADDRESS", help="where to answer /healthz and the like")
    add("--healthz-port", type=port, default=10054, help="its port, for /healthz, /readyz and /metrics; 0 for none")


async def run(args: argparse.Namespace) -> None:
    await run_until_signalled(_serve(args))


async def _serve(args: argparse.Namespace) -> None:
    config = load(args.kubeconfig) if args.kubeconfig else in_cluster()
    client = connect(config, "kybern-dns")
    factory, records = InformerFactory(client), Records(args.cluster_domain)
    follow(factory, records)
    forwarder = Forwarder(_servers(args.forward, args.bind_address))
    resolver = Resolver(records, forwarder)
    resolver.synced = False
    server = await listen(resolver, args.bind_address, args.port)
    health = None
    if args.healthz_port:
        checks = {"informers": lambda: None if resolver.synced else "not synced"}
        health = await serve_health(args.healthz_bind_address, args.healthz_port, checks)
    try:
        factory.start()
        await factory.synced()
        resolver.synced = True
        log.info("answering for %s on %s:%d", records.zone, args.bind_address, server.port)
        await asyncio.Event().wait()
    finally:
        if health:
            await health.close()
        await server.close()
        await factory.stop()
        await client.close()


def follow(factory: InformerFactory, records: Records) -> None:
    """Keep `records` as the API has it."""

    def service(old: Object | None, new: Object | None) -> None:
        meta = (new or old or {})["metadata"]
        records.set_service(meta["namespace"], meta["name"], new)

    def endpoint_slice(old: Object | None, new: Object | None) -> None:
        meta = (new or old or {})["metadata"]
        records.set_slice(meta["namespace"], meta["name"], old, new)

    def namespace(old: Object | None, new: Object | None) -> None:
        records.set_namespace((new or old or {})["metadata"]["name"], new is not None)

    factory.informer("v1", "services").on_change(service)
    factory.informer("discovery.k8s.io/v1", "endpointslices").on_change(endpoint_slice)
    factory.informer("v1", "namespaces", namespaced=False).on_change(namespace)


def _servers(forward: str, own: str) -> list[str]:
    if forward.startswith("/"):
        return nameservers(Path(forward), [own])
    servers = [address.strip() for address in forward.split(",") if address.strip()]
    for server in servers:
        address, _, number = server.partition(":") if server.count(":") == 1 else (server, "", "53")
        try:
            ip_address(address)
            port(number)
        except (ValueError, ArgumentTypeError) as error:
            raise OperatorError(f"--forward: {error}; name addresses, or a file like /etc/resolv.conf") from error
    return servers
