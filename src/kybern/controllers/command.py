"""`kybern controller-manager`: flags, leader election, health port."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Mapping
from pathlib import Path

from kybern.client import leading
from kybern.client.kubeconfig import connect, in_cluster, load
from kybern.controllers import signing_flags
from kybern.controllers.manager import Manager, discover
from kybern.controllers.options import Options
from kybern.controllers.serviceaccount_token import read_key
from kybern.process import features
from kybern.process.daemon import OperatorError
from kybern.process.flags import duration

_WORKERS = {
    "deployment": "deployment-controller",
    "replicaset": "replicaset-controller",
    "daemonset": "daemonset-controller",
    "statefulset": "statefulset-controller",
    "job": "job-controller",
    "cron-job": "cronjob-controller",
    "ttl-after-finished": "ttl-after-finished-controller",
    "rc": "replicationcontroller-controller",
    "endpoint": "endpoints-controller",
    "service-endpoint": "endpointslice-controller",
    "namespace": "namespace-controller",
    "gc": "garbage-collector-controller",
    "resource-quota": "resourcequota-controller",
}
"""--concurrent-<word>-syncs -> controller."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    defaults = Options()
    add = parser.add_argument
    add("--kubeconfig", metavar="FILE", help="the API server and who we are; inside a pod its service account")
    add("--controllers", default="*", help="* for all, -name to leave one out, name to take one in; comma separated")
    leading.add_flags(parser, component="kube-controller-manager", port=10257)
    add("--cluster-cidr", default="", help="the range pods get addresses from")
    leading.switch(parser, "--allocate-node-cidrs", False, "give each node a part of --cluster-cidr")
    add("--node-cidr-mask-size", type=int, default=defaults.node_cidr_mask_size)
    add("--node-cidr-mask-size-ipv4", type=int)
    add("--node-cidr-mask-size-ipv6", type=int, default=defaults.node_cidr_mask_size_ipv6)
    add("--root-ca-file", metavar="FILE", help="published to every namespace as kube-root-ca.crt")
    add("--service-account-private-key-file", metavar="FILE", help="key that signs the tokens of Secrets for accounts")
    add("--legacy-service-account-token-clean-up-period", type=duration, default=defaults.legacy_token_clean_up_period)
    signing_flags.add_flags(parser)
    features.add_flag(parser)
    add("--node-monitor-period", type=duration, default=defaults.node_monitor_period)
    add("--node-monitor-grace-period", type=duration, default=defaults.node_monitor_grace_period)
    add("--node-startup-grace-period", type=duration, default=defaults.node_startup_grace_period)
    add("--node-eviction-rate", type=float, default=defaults.node_eviction_rate)
    add("--secondary-node-eviction-rate", type=float, default=defaults.secondary_node_eviction_rate)
    add("--unhealthy-zone-threshold", type=float, default=defaults.unhealthy_zone_threshold)
    add("--large-cluster-size-threshold", type=int, default=defaults.large_cluster_size_threshold)
    add("--terminated-pod-gc-threshold", type=int, default=defaults.terminated_pod_gc_threshold)
    add("--max-endpoints-per-slice", type=int, default=defaults.max_endpoints_per_slice)
    add("--resource-quota-sync-period", type=duration, default=defaults.resource_quota_sync_period, metavar="DURATION",
        help="how often what quotas' namespaces use is added up anew")  # fmt: skip
    for word, controller in _WORKERS.items():
        add(f"--concurrent-{word}-syncs", type=int, metavar="N", help=f"keys {controller} works on at a time")


async def run(args: argparse.Namespace) -> int | None:
    features.start(args.feature_gates, {gate for one in discover().values() for gate in one.gates})
    client = connect(load(args.kubeconfig) if args.kubeconfig else in_cluster(), "kube-controller-manager")
    try:
        manager = Manager(client, options(args), args.controllers)
        await leading.run(args, client, manager.run, manager.not_ready)
    finally:
        await client.close()
    return 0


def options(args: argparse.Namespace) -> Options:
    """The flags as Options. Raises OperatorError for those that contradict."""
    for cidr in filter(None, args.cluster_cidr.split(",")):
        try:
            ipaddress.ip_network(cidr)
        except ValueError as error:
            raise OperatorError(f"--cluster-cidr: {error}") from error
    if args.allocate_node_cidrs and not args.cluster_cidr:
        raise OperatorError("--allocate-node-cidrs needs --cluster-cidr")
    sizes = {4: args.node_cidr_mask_size_ipv4 or args.node_cidr_mask_size, 6: args.node_cidr_mask_size_ipv6}
    if args.allocate_node_cidrs:
        _check_sizes(args.cluster_cidr, sizes)
    counts = {word: getattr(args, f"concurrent_{word.replace('-', '_')}_syncs", None) for word in _WORKERS}
    for word, count in counts.items():
        if count is not None and count < 1:
            raise OperatorError(f"--concurrent-{word}-syncs must be at least 1, but is {count}")
    return Options(
        cluster_cidr=args.cluster_cidr,
        allocate_node_cidrs=args.allocate_node_cidrs,
        node_cidr_mask_size=sizes[4],
        node_cidr_mask_size_ipv6=sizes[6],
        root_ca=_read(args.root_ca_file, "--root-ca-file"),
        service_account_key=read_key(args.service_account_private_key_file),
        legacy_token_clean_up_period=args.legacy_service_account_token_clean_up_period,
        cluster_signing=signing_flags.signers(args),
        cluster_signing_duration=args.cluster_signing_duration,
        node_monitor_period=args.node_monitor_period,
        node_monitor_grace_period=args.node_monitor_grace_period,
        node_startup_grace_period=args.node_startup_grace_period,
        node_eviction_rate=args.node_eviction_rate,
        secondary_node_eviction_rate=args.secondary_node_eviction_rate,
        unhealthy_zone_threshold=args.unhealthy_zone_threshold,
        large_cluster_size_threshold=args.large_cluster_size_threshold,
        terminated_pod_gc_threshold=args.terminated_pod_gc_threshold,
        max_endpoints_per_slice=args.max_endpoints_per_slice,
        resource_quota_sync_period=args.resource_quota_sync_period,
        workers={_WORKERS[word]: count for word, count in counts.items() if count},
    )


def _check_sizes(cidrs: str, sizes: Mapping[int, int]) -> None:
    """Whether nodes' ranges fit into the cluster's, and at most 65536 of them, by IP version."""
    for cidr in filter(None, cidrs.split(",")):
        network = ipaddress.ip_network(cidr, strict=False)
        size, most = sizes[network.version], min(network.max_prefixlen, network.prefixlen + 16)
        if not network.prefixlen <= size <= most:
            said = f"a node's range in {cidr} can be from /{network.prefixlen} to /{most}, not /{size}"
            raise OperatorError(f"{said}; see --node-cidr-mask-size")


def _read(path: str | None, flag: str) -> str:
    if not path:
        return ""
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"can't read {flag} {path}: {error}") from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise OperatorError(f"{flag} {path} has no certificate in PEM form")
    return text
