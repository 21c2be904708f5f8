"""What `init` and `join` have in common: flags that describe the node, files, images, the supervisor, waiting."""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import sys
from pathlib import Path

from kybern.api.errors import APIError
from kybern.client.rest import Client
from kybern.cluster import containerd, host, images, seed, several, supervisor
from kybern.cluster.layout import Layout, Settings, add_data_dir
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError
from kybern.process.flags import address, port

PATIENCE = 120.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Those of a node."""
    add_data_dir(parser)
    add = parser.add_argument
    add("--node-name", default="", help="the node's name (default: the machine's)")
    add("--node-ip", "--apiserver-advertise-address", dest="node_ip", type=address, metavar="IP",
        help="the node's address (default: the one the default route uses)")  # fmt: skip
    add("--secure-port", "--apiserver-bind-port", dest="secure_port", type=port, default=6443, metavar="PORT",
        help="this node's API server's port")  # fmt: skip
    add("--cgroup-root", default="", metavar="PATH", help="the control group for pods, where nodes share a machine")
    add("--image-dir", default="/var/cache/kybern", help="where built image archives are kept")


def node_name(args: argparse.Namespace) -> str:
    return args.node_name or re.sub(r"[^a-z0-9.-]+", "-", socket.gethostname().lower()).strip("-.") or "node"


def node_ip(args: argparse.Namespace) -> str:
    return args.node_ip or host.address()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def prepare(layout: Layout, settings: Settings, image_dir: Path) -> None:
    """The data directory with settings, images and containerd's configuration. Raises OperatorError."""
    archives = await asyncio.to_thread(images.archives, image_dir)
    seeded = await asyncio.to_thread(seed.make, image_dir, archives)
    layout.make()
    layout.write_settings(settings)
    host.change(layout)
    await asyncio.to_thread(seed.plant, seeded, layout, archives)
    containerd.write_config(layout)


async def start(layout: Layout) -> None:
    """containerd and kubelet, and all that the kubelet finds to run. Raises OperatorError."""
    await supervisor.start(layout)


async def wait_for_server(client: Client, layout: Layout) -> None:
    """Until the API server is ready. Raises OperatorError."""
    end, why = monotonic() + PATIENCE, "no answer"
    while monotonic() < end:
        try:
            code, _, body = await client.raw("GET", "/readyz")
            if code == 200:
                return
            why = body.decode(errors="replace").strip()
        except (APIError, OSError) as error:
            why = str(error)
        await asyncio.sleep(0.1)
    where = f"see {layout.logs}/kubelet.log and {layout.logs}/pods"
    raise OperatorError(f"the API server did not become ready ({why}); {where}; `kybern reset` takes all away again")


async def wait_for_node(client: Client, layout: Layout, name: str) -> None:
    """Until the node is Ready. Raises OperatorError."""
    nodes, end, why = client.resource("v1", "nodes", namespaced=False), monotonic() + PATIENCE, ""
    while monotonic() < end:
        try:
            ready = several.ready_condition(await nodes.get(name))
            if ready.get("status") == "True":
                return
            why = ready.get("message", "it has not reported")
        except (APIError, OSError) as error:
            why = str(error)
        await asyncio.sleep(0.1)
    raise OperatorError(
        f"node {name} did not become Ready ({why}); see {layout.logs}/kubelet.log; `kybern reset` takes it away again"
    )


async def mark_control_plane(client: Client, name: str) -> None:
    """The label that `kubectl get nodes` shows as the role: a kubelet may not give it to itself."""
    labels = {several.ROLE_LABEL: "", "node.kubernetes.io/exclude-from-external-load-balancers": ""}
    await client.resource("v1", "nodes", namespaced=False).patch(name, {"metadata": {"labels": labels}}, type="merge")
