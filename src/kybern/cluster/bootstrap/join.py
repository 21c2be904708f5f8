"""`kybern join`: this machine becomes a node of a cluster of `kybern init`, as a worker or a further control plane."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import yaml

from kybern.api.errors import APIError, NotFound, Unauthorized
from kybern.client.kubeconfig import ClientConfig, connect, load
from kybern.client.rest import Client
from kybern.cluster import audit_policy, several
from kybern.cluster.bootstrap import certificates, discovery, etcd, init, machine, manifests, objects, preflight, shared
from kybern.cluster.bootstrap.machine import say
from kybern.cluster.bootstrap.objects import ClusterConfig
from kybern.cluster.layout import Layout, Settings, write_private
from kybern.kubelet.certificates import still_good
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError


def add_flags(parser: argparse.ArgumentParser) -> None:
    machine.add_flags(parser)
    add = parser.add_argument
    add("endpoint", metavar="HOST:PORT", help="where the cluster's API answers")
    add("--token", required=True, help="a bootstrap token of the cluster")
    add("--discovery-token-ca-cert-hash", action="append", default=[], metavar="sha256:HEX", dest="hashes",
        help="of the cluster's CA; may be given several times")  # fmt: skip
    add("--discovery-token-unsafe-skip-ca-verification", action="store_true", dest="any_ca",
        help="join whichever cluster knows the token")  # fmt: skip
    add("--control-plane", action="store_true", help="run a control plane here")
    add("--certificate-key", default="", metavar="HEX", help="decrypts the control plane's keys; with --control-plane")


async def run(args: argparse.Namespace) -> int:
    _check(args)
    layout = Layout.of(args)
    cluster = await discovery.discover(args.endpoint, args.token, args.hashes)
    client = connect(cluster, "kybern-join", quiet=True)
    try:
        config, keys = await _ask(client, args)
    finally:
        await client.close()
    settings = init.node_settings(args, config, control_plane=args.control_plane)
    settings = _reached_at(settings, cluster)
    preflight.machine(layout, settings, control_plane=args.control_plane)
    if args.control_plane:
        await check_member(settings, keys)
    say(f"joining the cluster at {settings.endpoint} as {settings.node_name}")
    await machine.prepare(layout, settings, Path(args.image_dir))
    _introduce(layout, cluster)
    if args.control_plane:
        await _join_control_plane(layout, settings, config, keys)
    else:
        await machine.start(layout)
        await _wait(layout, settings)
    say(f"node {settings.node_name} is Ready")
    return 0


def _check(args: argparse.Namespace) -> None:
    host, _, port = args.endpoint.rpartition(":")
    if not host or not port.isdigit():
        raise OperatorError(f"{args.endpoint} is not HOST:PORT")
    if not args.hashes and not args.any_ca:
        raise OperatorError("--discovery-token-ca-cert-hash tells the right cluster from a false one; `kybern token "
                            "create` prints it")  # fmt: skip
    for given in args.hashes:
        if not given.startswith("sha256:") or len(given) != len("sha256:") + 64:
            raise OperatorError(f"{given} is not like sha256:HEX, as `kybern token create` prints it")
    if args.control_plane:
        if not args.certificate_key:
            raise OperatorError("--control-plane needs --certificate-key, which `kybern init --upload-certs` prints")
        shared.check_key(args.certificate_key)


async def _ask(client: Client, args: argparse.Namespace) -> tuple[ClusterConfig, dict[str, bytes]]:
    """How the cluster is set up, and a control plane's keys. Raises OperatorError."""
    name = machine.node_name(args)
    try:
        found = await client.resource("v1", "configmaps").get(objects.CONFIG_MAP, objects.NAMESPACE)
        config = ClusterConfig.read(found)
        await _check_name(client, name)
        if not args.control_plane:
            return config, {}
        if not config.endpoint:
            raise OperatorError("the cluster has no --control-plane-endpoint, so no other control plane can join it")
        return config, await shared.download(client, args.certificate_key)
    except NotFound as error:
        raise OperatorError(f"{error.message}: {args.endpoint} is of no cluster of `kybern init`") from error
    except Unauthorized as error:
        raise OperatorError("the cluster doesn't take the token; has it expired? `kybern token list` there") from error
    except APIError as error:
        raise OperatorError(error.message) from error


async def _check_name(client: Client, name: str) -> None:
    try:
        node = await client.resource("v1", "nodes", namespaced=False).get(name)
    except NotFound:
        return
    if several.ready_condition(node).get("status") == "True":
        raise OperatorError(
            f'a Node with name "{name}" and status "Ready" already exists in the cluster; delete it, or choose another '
            "--node-name"
        )


def _reached_at(settings: Settings, cluster: ClientConfig) -> Settings:
    """With the server that cluster-info names, which is the endpoint for all."""
    return Settings(**{**settings.__dict__, "server": cluster.server.removeprefix("https://")})


def _introduce(layout: Layout, cluster: ClientConfig) -> None:
    """What the kubelet asks for its certificate with."""
    write_private(layout.pki / "ca.crt", cluster.ca_data)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "kubernetes",
                "cluster": {"server": cluster.server, "certificate-authority": str(layout.pki / "ca.crt")},
            }
        ],
        "users": [{"name": "tls-bootstrap-token-user", "user": {"token": cluster.token}}],
        "contexts": [{"name": "bootstrap", "context": {"cluster": "kubernetes", "user": "tls-bootstrap-token-user"}}],
        "current-context": "bootstrap",
    }
    write_private(layout.kubeconfig("bootstrap-kubelet"), yaml.safe_dump(content, sort_keys=False).encode())


async def _wait(layout: Layout, settings: Settings) -> None:
    """Until the kubelet has its certificate and the node is Ready; then the token is of no more use here."""
    path, end = layout.kubeconfig("kubelet"), monotonic() + machine.PATIENCE
    while not still_good(str(path)):
        if monotonic() > end:
            where = f"see {layout.logs}/kubelet.log; `kybern reset` takes all away again"
            raise OperatorError(f"the kubelet got no certificate; {where}")
        await asyncio.sleep(0.1)
    client = connect(load(path), "kybern-join", quiet=True)
    try:
        await machine.wait_for_node(client, layout, settings.node_name)
    finally:
        await client.close()
    layout.kubeconfig("bootstrap-kubelet").unlink()


async def check_member(settings: Settings, keys: dict[str, bytes]) -> None:
    """Ask etcd whether a member of this node's name can come, with certificates that are gone afterwards: nothing is
    kept on this machine yet. Raises OperatorError."""
    with tempfile.TemporaryDirectory() as directory:
        layout = Layout(Path(directory))
        shared.save(layout, keys)
        certificates.make(layout, settings)
        certificates.make_kubeconfigs(layout, settings, first=False)
        client = connect(load(layout.admin_kubeconfig), "kybern-join", quiet=True)
        try:
            async with etcd.connected(layout, await etcd.endpoints(client)) as members:
                await etcd.check(members, settings)
        except APIError as error:
            raise OperatorError(error.message) from error
        finally:
            await client.close()


async def _join_control_plane(
    layout: Layout, settings: Settings, config: ClusterConfig, keys: dict[str, bytes]
) -> None:
    """Keys, a member of etcd that learns, then votes, and the rest of the control plane. Raises OperatorError."""
    shared.save(layout, keys)
    audit_policy.write(layout)
    certificates.make(layout, settings, config.server_names)
    certificates.make_kubeconfigs(layout, settings, first=False)
    client = connect(load(layout.admin_kubeconfig), "kybern-join", quiet=True)
    try:
        urls = await etcd.endpoints(client)
        async with etcd.connected(layout, urls) as members:
            await machine.start(layout)
            await _wait(layout, settings)
            flags = await etcd.expect(members, settings)
            manifests.make_data_directory(layout)
            manifests.write(layout, [manifests.etcd(layout, settings, flags)])
            await etcd.promote(members, settings.node_name)
        say(f"etcd has {len(urls) + 1} members")
        manifests.write(layout, manifests.control_plane(layout, settings, config.signing_duration))
        await _wait_for_own_server(layout)
        await machine.mark_control_plane(client, settings.node_name)
    except APIError as error:
        raise OperatorError(f"{error.message}; `kybern reset` takes all away again") from error
    finally:
        await client.close()


async def _wait_for_own_server(layout: Layout) -> None:
    client = connect(load(layout.kubeconfig("scheduler")), "kybern-join", quiet=True)
    try:
        await machine.wait_for_server(client, layout)
    finally:
        await client.close()
