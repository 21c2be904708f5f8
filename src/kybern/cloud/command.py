"""`kybern cloud-controller-manager`: flags, the cloud that they name, leader election, health port."""

from __future__ import annotations

import argparse
import ipaddress

from kybern.client import leading
from kybern.client.kubeconfig import connect, in_cluster, load
from kybern.cloud import provider
from kybern.cloud.manager import Manager
from kybern.cloud.options import Options
from kybern.process import features
from kybern.process.daemon import OperatorError
from kybern.process.flags import duration

_COMPONENT = "cloud-controller-manager"
_WORKERS = {"node": "cloud-node-controller", "service": "service-lb-controller"}
"""--concurrent-<word>-syncs -> controller."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cloud-provider", default="", metavar="NAME", help=f"the cloud: {', '.join(provider.known())}")
    add("--cloud-config", default="", metavar="FILE", help="what it needs to know, in YAML")
    add("--kubeconfig", metavar="FILE", help="the API server and who we are; inside a pod its service account")
    add("--controllers", default="*", help="* for all, -name to leave one out, name to take one in; comma separated")
    leading.add_flags(parser, component=_COMPONENT, port=10258)
    features.add_flag(parser)
    add("--cluster-name", default="kubernetes", help="set apart in the cloud what belongs to this cluster")
    add("--cluster-cidr", default="", help="the range pods get addresses from")
    leading.switch(parser, "--allocate-node-cidrs", False, "nodes have parts of --cluster-cidr: they need routes")
    leading.switch(parser, "--configure-cloud-routes", True, "make these routes in the cloud")
    add("--node-monitor-period", type=duration, default=5.0, help="how often to ask about nodes that aren't ready")
    add("--node-status-update-frequency", type=duration, default=300.0, help="how often to ask for addresses")
    add("--route-reconciliation-period", type=duration, default=10.0, help="how often to look at all routes")
    for word, controller in _WORKERS.items():
        add(f"--concurrent-{word}-syncs", type=int, default=1, metavar="N", help=f"keys {controller} works on at once")


async def run(args: argparse.Namespace) -> int | None:
    """Run until a signal. Raises OperatorError."""
    features.start(args.feature_gates)
    settings = options(args)
    client = connect(load(args.kubeconfig) if args.kubeconfig else in_cluster(), _COMPONENT)
    try:
        manager = Manager(client, settings, args.controllers)
        await leading.run(args, client, manager.run, manager.not_ready)
    finally:
        await client.close()
    return 0


def options(args: argparse.Namespace) -> Options:
    """The flags as Options, with the cloud made. Raises OperatorError for those that contradict."""
    if not args.cloud_provider:
        raise OperatorError(f"say which cloud: --cloud-provider is one of {', '.join(provider.known())}")
    cidrs = tuple(filter(None, args.cluster_cidr.split(",")))
    for cidr in cidrs:
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            raise OperatorError(f"--cluster-cidr: {error}") from error
    if args.allocate_node_cidrs and args.configure_cloud_routes and not cidrs:
        raise OperatorError("--configure-cloud-routes needs --cluster-cidr")
    return Options(
        cloud=provider.load(args.cloud_provider, provider.read(args.cloud_config)),
        cluster_name=args.cluster_name,
        cluster_cidrs=cidrs,
        allocate_node_cidrs=args.allocate_node_cidrs,
        configure_cloud_routes=args.configure_cloud_routes,
        node_monitor_period=args.node_monitor_period,
        node_status_update_frequency=args.node_status_update_frequency,
        route_reconciliation_period=args.route_reconciliation_period,
        workers={name: getattr(args, f"concurrent_{word}_syncs") for word, name in _WORKERS.items()},
    )
