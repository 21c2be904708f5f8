"""`kybern down`: end every process, take away pods, rules, mounts and cgroups, and put the host back. Idempotent."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import subprocess
import sys

from kybern.cluster import cloud, host, machines
from kybern.cluster.layout import JOINED, Layout, add_data_dir
from kybern.cluster.processes import Process
from kybern.cluster.topology import Topology
from kybern.kubelet.runtime.client import RuntimeClient
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)

_COMPONENTS = ("cloud-controller-manager", "dns", "proxy", "scheduler", "controller-manager", "kubelet", "apiserver")


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    parser.add_argument(
        "--keep-data", action="store_true", help="keep the state: the next `up` brings the cluster back"
    )


async def run(args: argparse.Namespace) -> int:
    layout = Layout.of(args)
    if not layout.root.exists():
        sys.stdout.write(f"there is no cluster in {layout.root}\n")
        return 0
    if not layout.exists() and any(layout.root.iterdir()):
        raise OperatorError(f"{layout.root} has files but no cluster of kybern's; remove it yourself if you are sure")
    settings = None
    with contextlib.suppress(OperatorError):  # damaged settings are cleared away, too
        settings = layout.read_settings()
    if settings and settings.role == JOINED:
        raise OperatorError(f"the node in {layout.root} was made by `kybern init` or `join`; use `kybern reset`")
    if topology := Topology.read(layout):
        await stop(layout, ("supervisor", "cloud-controller-manager"))
        await asyncio.to_thread(_switch_off, topology)
    await stop(layout, ("supervisor", *_COMPONENTS, "balancer"))
    await remove_pods(layout)
    await _stop_containerd(layout)
    await asyncio.to_thread(_clean_host, layout, args.keep_data)
    sys.stdout.write(
        "the cluster is down" + ("; its state is kept\n" if args.keep_data else " and nothing of it is left\n")
    )
    return 0


def _switch_off(topology: Topology) -> None:
    """Nodes in namespaces need no order: with their last process everything they had is gone."""
    for member in topology.members:
        machines.kill(member.name)
        machines.remove_network(member)
        machines.remove_groups(member.name)
    machines.remove_bridge()


async def stop(layout: Layout, names: tuple[str, ...]) -> None:
    """The supervisor first: it stops its children in order. Then any that a killed supervisor left."""
    for name in names:
        process = Process.read(layout.run / f"{name}.json")
        if process:
            await process.stop(30)


async def remove_pods(layout: Layout) -> None:
    """Stop and remove every pod through the runtime, so that its network is given back properly."""
    if not Process.read(layout.run / "containerd.json"):
        return
    runtime = RuntimeClient(f"unix://{layout.containerd_socket}")
    try:
        async with asyncio.timeout(30):
            sandboxes = await runtime.list_sandboxes()
            await asyncio.gather(*(_remove_pod(runtime, sandbox.id) for sandbox in sandboxes))
    except Exception as error:  # whatever the runtime says, what is left is killed below
        log.warning("containerd could not remove every pod (%s); killing what is left", error)
    finally:
        await runtime.close()


async def _remove_pod(runtime: RuntimeClient, sandbox: str) -> None:
    await runtime.stop_sandbox(sandbox)
    await runtime.remove_sandbox(sandbox)


async def _stop_containerd(layout: Layout) -> None:
    process = Process.read(layout.run / "containerd.json")
    if process:
        await process.stop(10)


def _clean_host(layout: Layout, keep_data: bool) -> None:
    host.kill_containers(layout)
    subprocess.run([sys.executable, "-m", "kybern", "proxy", "--cleanup"], capture_output=True, check=False)
    host.remove_network_leftovers()
    host.unmount_below(layout.root)
    host.remove_cgroups()
    host.remove_dummy()
    cloud.remove()
    host.restore(layout)
    if not keep_data:
        host.remove_tree(layout)
