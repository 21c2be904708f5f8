"""`kybern init`: a cluster's first control plane, as pods on this machine. `kybern join` adds others to it."""

from __future__ import annotations

import argparse
from pathlib import Path

from kybern.api import bootstraptokens as tokens
from kybern.api.errors import APIError
from kybern.client.kubeconfig import connect, load
from kybern.client.rest import Client
from kybern.cluster import addons, audit_policy, joining, token
from kybern.cluster.bootstrap import certificates, machine, manifests, objects, pods, preflight, shared
from kybern.cluster.bootstrap.machine import say
from kybern.cluster.bootstrap.objects import ClusterConfig
from kybern.cluster.layout import JOINED, Layout, Settings
from kybern.cluster.several import ROLE_LABEL
from kybern.process.daemon import OperatorError
from kybern.process.flags import duration, network

TAINT = f"{ROLE_LABEL}=:NoSchedule"


def add_flags(parser: argparse.ArgumentParser) -> None:
    machine.add_flags(parser)
    add = parser.add_argument
    add("--control-plane-endpoint", default="", metavar="HOST[:PORT]",
        help="how all nodes reach the API, whoever answers; without it there is one control plane")  # fmt: skip
    add("--cluster-cidr", "--pod-network-cidr", dest="cluster_cidr", type=network, default="10.244.0.0/16",
        metavar="CIDR", help="addresses of pods")  # fmt: skip
    add("--service-cidr", type=network, default="10.96.0.0/12", metavar="CIDR", help="addresses of Services")
    add("--service-dns-domain", default="cluster.local", metavar="DOMAIN", help="the zone of Services' names")
    add("--apiserver-cert-extra-sans", default="", metavar="NAMES", help="what else the API server is called")
    add("--network-mode", default="auto", choices=("auto", "direct", "vxlan"), help="how pods reach other nodes' pods")
    add("--token", default="", help="the bootstrap token to make (default: a random one)")
    add("--token-ttl", type=duration, default=86400.0, metavar="TIME", help="how long it is good for (default 24h)")
    add("--upload-certs", action="store_true", help="leave the control plane's keys, encrypted, for others to join")
    add("--certificate-key", default="", metavar="HEX", help="what to encrypt them with (default: a random key)")
    add("--cluster-signing-duration", type=duration, default=8760 * 3600.0, metavar="TIME",
        help="how long certificates of kubelets are good for, which renew them (default 8760h)")  # fmt: skip
    add("--cloud-provider", default="", metavar="NAME", help="run a cloud controller manager for this cloud")
    add("--cloud-config", default="", metavar="FILE", help="what it needs to know")


async def run(args: argparse.Namespace) -> int:
    layout, config, settings = _decided(args)
    preflight.machine(layout, settings, control_plane=True)
    say(f"making the control plane of {settings.node_name} in {layout.root}")
    await machine.prepare(layout, settings, Path(args.image_dir))
    certificates.make(layout, settings, config.server_names)
    certificates.make_kubeconfigs(layout, settings, first=True)
    manifests.make_data_directory(layout)
    audit_policy.write(layout)
    static = [manifests.etcd(layout, settings), *manifests.control_plane(layout, settings, config.signing_duration)]
    if args.cloud_provider:
        static.append(manifests.cloud_controller_manager(layout, settings, args.cloud_provider, args.cloud_config))
    manifests.write(layout, static)
    await machine.start(layout)
    await _give_rights(layout)
    client = connect(load(layout.admin_kubeconfig), "kybern-init", quiet=True)
    try:
        await _furnish(client, layout, settings, config)
        say(f"node {settings.node_name} is Ready")
        await _invite(client, layout, config, args)
    except APIError as error:
        raise OperatorError(f"{error.message}; `kybern reset` takes all away again") from error
    finally:
        await client.close()
    return 0


def _decided(args: argparse.Namespace) -> tuple[Layout, ClusterConfig, Settings]:
    """What the flags and the machine say. Raises OperatorError."""
    token_given = args.token or token.generate()
    if tokens.split(token_given) is None:
        raise OperatorError(f'the bootstrap token "{token_given}" was not of the form "{tokens.TOKEN_PATTERN}"')
    args.token = token_given
    if args.certificate_key:
        shared.check_key(args.certificate_key)
    if args.cloud_config and not Path(args.cloud_config).is_file():
        raise OperatorError(f"there is no file {args.cloud_config}; see --cloud-config")
    preflight.check_ranges(args.cluster_cidr, args.service_cidr, machine.node_ip(args))
    config = ClusterConfig(
        _endpoint(args.control_plane_endpoint, args.secure_port),
        args.cluster_cidr,
        args.service_cidr,
        args.service_dns_domain,
        f"{int(args.cluster_signing_duration)}s",
        "external" if args.cloud_provider else "",
        tuple(name.strip() for name in args.apiserver_cert_extra_sans.split(",") if name.strip()),
    )
    return Layout.of(args), config, node_settings(args, config, control_plane=True)


def _endpoint(text: str, port: int) -> str:
    host, colon, number = text.rpartition(":")
    if not text or (colon and host and number.isdigit()):
        return text
    if colon:
        raise OperatorError(f"--control-plane-endpoint {text} is not HOST or HOST:PORT")
    return f"{text}:{port}"


def node_settings(args: argparse.Namespace, config: ClusterConfig, *, control_plane: bool) -> Settings:
    """What this machine goes by as a node of that cluster."""
    ip = machine.node_ip(args)
    return Settings(
        machine.node_name(args),
        ip,
        args.secure_port,
        cluster_cidr=config.cluster_cidr,
        service_cidr=config.service_cidr,
        dns_ip=config.dns_ip,
        cluster_domain=config.cluster_domain,
        role=JOINED,
        server=config.endpoint or f"{ip}:{args.secure_port}",
        group=args.cgroup_root.strip("/"),
        taints=TAINT if control_plane else "",
        network_mode=getattr(args, "network_mode", "auto"),
        cloud_provider=config.cloud_provider,
    )


async def _give_rights(layout: Layout) -> None:
    """The everyday administrators get theirs from the one who needs none given. Raises OperatorError."""
    client = connect(load(layout.kubeconfig("super-admin")), "kybern-init", quiet=True)
    try:
        await machine.wait_for_server(client, layout)
        say("the API server is ready")
        await objects.apply(client, [objects.administrators()])
    except APIError as error:
        raise OperatorError(f"{error.message}; `kybern reset` takes all away again") from error
    finally:
        await client.close()


async def _furnish(client: Client, layout: Layout, settings: Settings, config: ClusterConfig) -> None:
    """What every cluster has besides its control plane. Raises APIError, OperatorError."""
    await objects.apply(client, [config.config_map(), *objects.for_joiners()])
    if config.cloud_provider:
        await objects.apply(client, [addons.cloud_role(), addons.cloud_binding()])
    await objects.apply(client, pods.wanted(settings))
    await machine.wait_for_node(client, layout, settings.node_name)
    await machine.mark_control_plane(client, settings.node_name)


async def _invite(client: Client, layout: Layout, config: ClusterConfig, args: argparse.Namespace) -> None:
    """A token and the address for those who join, and the command lines to do so. Raises APIError, OperatorError."""
    admin = load(layout.admin_kubeconfig)
    usages, said = list(token.USAGES), "The default bootstrap token generated by 'kybern init'."
    made = token.secret(args.token, args.token_ttl, usages, [joining.DEFAULT_GROUP], said)
    await client.resource("v1", "secrets").create(made)
    await joining.prepare(client, admin.server, admin.ca_data)
    command = joining.command(admin.server, args.token, admin.ca_data)
    say(f"\nkubeconfig: {layout.admin_kubeconfig}\njoin a worker with\n  {command}")
    if args.upload_certs:
        key = args.certificate_key or shared.generate_key()
        await shared.upload(client, layout, key)
        say(f"join a control plane, within two hours, with\n  {command} --control-plane --certificate-key {key}")
    if not config.endpoint:
        say("other control planes can't join, as there is no --control-plane-endpoint")
