"""`kybern up`: from a bare machine to a Ready node and a sample app that answers. Again: the same cluster is back."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
from pathlib import Path

from rich.console import Console

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.client.kubeconfig import connect, load
from kybern.client.rest import Client
from kybern.cluster import addons, components, containerd, doctor, host, images, seed, supervisor, trace
from kybern.cluster.layout import Layout, Settings, add_data_dir, write_json
from kybern.cluster.processes import Process
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError

_READY_PATIENCE = 60.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    parser.add_argument("--image-dir", default="/var/cache/kybern", help="where built image archives are kept")
    parser.add_argument("--node-name", default="", help="the node's name (default: the machine's)")
    parser.add_argument("--node-ip", default="", help="the node's address (default: the one the default route uses)")
    parser.add_argument("--secure-port", type=int, default=6443, help="the API server's port")
    parser.add_argument("--cluster-cidr", default="10.244.0.0/16", help="addresses of pods")
    parser.add_argument("--no-sample", action="store_true", help="don't deploy the sample app")


async def run(args: argparse.Namespace) -> int:
    began = monotonic()
    console = Console(highlight=False)
    layout = Layout.of(args)
    with console.status("looking at the machine") as progress:
        settings = _settings(args, layout)
        running = Process.read(layout.run / "supervisor.json") is not None
        doctor.require(layout, settings, running=running)
        layout.make()
        progress.update("building images")
        archives = await asyncio.to_thread(images.archives, Path(args.image_dir))
        if not (layout.containerd / "root").exists():
            seeded = await asyncio.to_thread(seed.make, Path(args.image_dir), archives)
            await asyncio.to_thread(seed.plant, seeded, layout, archives)
        started = monotonic()
        progress.update("making certificates")
        components.prepare(layout, settings)
        layout.write_settings(settings)
        host.change(layout)
        progress.update("starting the control plane and the node")
        await supervisor.start(layout)
        client = connect(load(layout.admin_kubeconfig), "kybern-up", quiet=True)
        try:
            await _wait_for_server(client, layout)
            console.print(f"API server ready        {monotonic() - started:6.2f} s")
            await addons.apply(client, settings)
            node = await _wait_for_node(client, settings, layout)
            console.print(f"node {node} Ready    {monotonic() - started:6.2f} s")
            await importing
            console.print(f"images imported         {monotonic() - started:6.2f} s")
            if not args.no_sample:
                progress.update("deploying the sample app")
                await _sample(client, layout, settings, console)
        finally:
            await client.close()
    console.print(f"\nup in {monotonic() - started:.1f} s (and {started - began:.1f} s for looking and images)")
    _next(console, layout)
    return 0


def _settings(args: argparse.Namespace, layout: Layout) -> Settings:
    """What an earlier `up` decided, else what the flags and the machine say."""
    found = layout.read_settings()
    if found:
        return found
    name = args.node_name or re.sub(r"[^a-z0-9.-]+", "-", socket.gethostname().lower()).strip("-.") or "node"
    ip = args.node_ip or host.address()
    return Settings(node_name=name, node_ip=ip, secure_port=args.secure_port, cluster_cidr=args.cluster_cidr)


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


async def _wait_for_node(client: Client, settings: Settings, layout: Layout) -> str:
    nodes = client.resource("v1", "nodes", namespaced=False)
    began = monotonic()
    why = "it has not registered"
    while monotonic() - began < _READY_PATIENCE:
        try:
            ready = _ready_condition(await nodes.get(settings.node_name))
            if ready.get("status") == "True":
                return settings.node_name
            why = ready.get("message", "it has not reported")
        except APIError as error:
            why = error.message
        await asyncio.sleep(0.05)
    raise OperatorError(f"node {settings.node_name} did not become Ready ({why}); see {layout.logs}/kubelet.log")


def _ready_condition(node: Object) -> Object:
    conditions = node.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Ready"), {})


async def _sample(client: Client, layout: Layout, settings: Settings, console: Console) -> None:
    console.print("\nthe life of `kubectl create deployment hello --replicas=3`:")

    def say(hop: str, seconds: float, detail: str) -> None:
        console.print(f"  {hop:<26} {seconds:+7.3f} s  [dim]{detail}[/dim]")

    await trace.deploy(client, settings, layout.logs / "scheduler.log", say)


def _next(console: Console, layout: Layout) -> None:
    console.print(f"kubeconfig: {layout.admin_kubeconfig}")
    console.print("try next:")
    console.print(f"  kubectl --kubeconfig {layout.admin_kubeconfig} get pods -A -o wide")
    console.print(f"  kubectl --kubeconfig {layout.admin_kubeconfig} scale deployment hello --replicas=5")
