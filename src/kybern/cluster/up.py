"""`kybern up`: from a bare machine to a Ready node and a sample app that answers. Again: the same cluster is back."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
from rich.console import Console

from kybern.api.errors import APIError
from kybern.client.kubeconfig import connect, load
from kybern.client.rest import Client
from kybern.cluster import (
    addons,
    cloud,
    containerd,
    credentials,
    doctor,
    host,
    images,
    machines,
    ranges,
    seed,
    several,
    supervisor,
    trace,
)  # fmt: skip
from kybern.cluster.bootstrap import preflight
from kybern.cluster.layout import JOINED, Layout, Settings, add_data_dir, write_json
from kybern.cluster.processes import Process
from kybern.cluster.topology import BRIDGE, Topology, layout_of
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError
from kybern.process.flags import address, network, port

_GIB = 2**30
_READY_PATIENCE = 60.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    add = parser.add_argument
    add("--image-dir", default="/var/cache/kybern", help="where built image archives are kept")
    add("--node-name", default="", help="the node's name (default: the machine's)")
    add("--node-ip", type=address, metavar="IP", help="the node's address (default: the one the default route uses)")
    add("--secure-port", type=port, default=6443, help="the API server's port")
    add("--cluster-cidr", type=network, default="10.244.0.0/16", help="addresses of pods")
    add("--no-sample", action="store_true", help="don't deploy the sample app")
    add("--nodes", type=int, default=0, metavar="N", help="make N nodes on this machine, each in namespaces of its own")
    add("--control-planes", type=int, default=1, metavar="M", help="how many of them run the control plane: 1, 3 or 5")
    add("--node-subnet", type=network, default="10.89.0.0/24", metavar="CIDR", help="nodes' addresses (with --nodes)")
    services = "addresses of Services of type LoadBalancer"
    add("--load-balancer-subnet", type=network, default="10.89.1.0/24", metavar="CIDR", help=services)
    add("--network-mode", default="auto", choices=("auto", "direct", "vxlan"), help="how pods reach other nodes' pods")


async def run(args: argparse.Namespace) -> int:
    began = monotonic()
    console = Console(highlight=False)
    layout = Layout.of(args)
    with console.status("looking at the machine") as progress:
        settings, topology = _decided(args, layout)
        running = Process.read(layout.run / "supervisor.json") is not None
        doctor.require(layout, settings, running=running)
        layout.make()
        progress.update("building images")
        image_dir = Path(args.image_dir)
        archives = await asyncio.to_thread(images.archives, image_dir)
        await asyncio.to_thread(seed.make, image_dir, archives)
        started = monotonic()
        progress.update("making certificates")
        await asyncio.to_thread(_prepare, layout, settings, topology, archives, image_dir)
        layout.write_settings(settings)
        progress.update("starting the control plane and the nodes")
        await supervisor.start(layout)
        client = connect(load(layout.admin_kubeconfig), "kybern-up", quiet=True)
        try:
            await _bring_up(client, layout, settings, topology, archives, partial(_say, console, started))
            if not args.no_sample:
                progress.update("deploying the sample app")
                await _sample(client, layout, settings, topology, console)
        finally:
            await client.close()
    console.print(f"\nup in {monotonic() - started:.1f} s (and {started - began:.1f} s for looking and images)")
    if topology:
        console.print(f"memory of all nodes: {memory(topology) / _GIB:.2f} GiB")
    _next(console, layout)
    return 0


def _say(console: Console, started: float, what: str) -> None:
    console.print(f"{what:<24}{monotonic() - started:6.2f} s")


def _decided(args: argparse.Namespace, layout: Layout) -> tuple[Settings, Topology | None]:
    """What an earlier `up` decided, else what the flags and the machine say. Raises OperatorError."""
    found, topology = layout.read_settings(), Topology.read(layout)
    if found:
        if found.role == JOINED:
            raise OperatorError(f"the node in {layout.root} was made by `kybern init` or `join`; `kybern reset` first")
        if args.nodes and args.nodes != (len(topology.members) if topology else 0):
            had = f"{len(topology.members)} nodes" if topology else "this machine as its node"
            raise OperatorError(f"the cluster in {layout.root} has {had}; `kybern node add|rm`, or `kybern down` first")
        return found, topology
    _check_ranges(args)
    if not args.nodes:
        return _settings(args), None
    if Path("/sys/class/net", BRIDGE).exists():
        raise OperatorError(f"interface {BRIDGE} exists: another cluster of nodes runs here; take it down first")
    topology = Topology.planned(args.nodes, args.control_planes, args.node_subnet)
    home = several.home_settings(
        topology, secure_port=args.secure_port, cluster_cidr=args.cluster_cidr, network_mode=args.network_mode
    )
    return replace(home, load_balancer_subnet=args.load_balancer_subnet), topology


def _check_ranges(args: argparse.Namespace) -> None:
    """Raises OperatorError where addresses would have two meanings."""
    own = {ranges.PODS: args.cluster_cidr, "--load-balancer-subnet": args.load_balancer_subnet}
    others = {"the Services' range": Settings.service_cidr}
    if args.nodes:
        others["--node-subnet"] = args.node_subnet
    ranges.check({**own, **others}, nodes=max(1, args.nodes))
    if not args.nodes:
        ranges.check_address(args.node_ip or host.address(), own)


def _prepare(
    layout: Layout, settings: Settings, topology: Topology | None, archives: dict[str, Path], image_dir: Path
) -> None:
    host.change(layout)
    if topology:
        topology.write(layout)
        several.prepare(layout, settings, topology, archives, image_dir)
        return
    if not (layout.containerd / "root").exists():
        seed.plant(seed.make(image_dir, archives), layout, archives)
    credentials.prepare(layout, settings)
    cloud.write(layout, settings)


async def _bring_up(
    client: Client,
    layout: Layout,
    settings: Settings,
    topology: Topology | None,
    archives: dict[str, Path],
    say: Callable[[str], None],
) -> None:
    """Wait for the API server and the nodes; give them what every cluster has."""
    await _wait_for_server(client, layout)
    say("API server ready")
    members = [member for member in topology.members if not member.stopped] if topology else []
    dns = [member.ip for member in members if member.control_plane] or [settings.node_ip]
    await addons.apply(client, settings, dns)
    names = [member.name for member in members] or [settings.node_name]
    importing = [
        asyncio.ensure_future(asyncio.to_thread(import_images, layout_of(layout, member.name), archives))
        for member in members
    ] or [asyncio.ensure_future(asyncio.to_thread(import_images, layout, archives))]
    await several.wait_for_nodes(client, names, _READY_PATIENCE, lambda name: say(f"node {name} Ready"))
    if topology:
        await several.label(client, topology)
    await asyncio.gather(*importing)
    say("images present")


def memory(topology: Topology) -> int:
    """Bytes resident in everything the nodes run, their pods too."""
    total = 0
    for member in topology.members:
        for process in machines.processes(member.name):
            with contextlib.suppress(psutil.Error):
                total += int(process.memory_info().rss)
    return total


def _settings(args: argparse.Namespace) -> Settings:
    name = args.node_name or re.sub(r"[^a-z0-9.-]+", "-", socket.gethostname().lower()).strip("-.") or "node"
    preflight.check_name(name)
    ip = args.node_ip or host.address()
    return Settings(
        node_name=name,
        node_ip=ip,
        secure_port=args.secure_port,
        cluster_cidr=args.cluster_cidr,
        load_balancer_subnet=args.load_balancer_subnet,
    )


def import_images(layout: Layout, archives: dict[str, Path]) -> None:
    """Import the archives containerd doesn't have yet. Blocking; waits for containerd. Raises OperatorError."""
    record = layout.root / "images.json"
    known: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    present = containerd.image_names(layout.containerd_socket)
    for name, archive in archives.items():
        if name not in present or known.get(name) != archive.name:
            containerd.import_image(layout.containerd_socket, archive)
            known[name] = archive.name
            write_json(record, known)


async def _wait_for_server(client: Client, layout: Layout) -> None:
    began = monotonic()
    why = "no answer"
    while monotonic() - began < _READY_PATIENCE:
        try:
            code, _, body = await client.raw("GET", "/readyz")
            if code == 200:
                return
            why = body.decode(errors="replace").strip()
        except (APIError, OSError) as error:
            why = str(error)
        await asyncio.sleep(0.05)
    raise OperatorError(f"the API server did not become ready ({why}); see {layout.logs}/apiserver.log")


async def _sample(
    client: Client, layout: Layout, settings: Settings, topology: Topology | None, console: Console
) -> None:
    console.print("\nthe life of `kubectl create deployment hello --replicas=3`:")

    def say(hop: str, seconds: float, detail: str) -> None:
        console.print(f"  {hop:<26} {seconds:+7.3f} s  [dim]{detail}[/dim]")

    schedulers = [layout_of(layout, member.name) for member in topology.control_planes] if topology else [layout]
    await trace.deploy(client, settings, [one.logs / "scheduler.log" for one in schedulers], say)


def _next(console: Console, layout: Layout) -> None:
    console.print(f"kubeconfig: {layout.admin_kubeconfig}")
    console.print("try next:")
    console.print(f"  kubectl --kubeconfig {layout.admin_kubeconfig} get pods -A -o wide")
    console.print(f"  kubectl --kubeconfig {layout.admin_kubeconfig} scale deployment hello --replicas=5")
