"""`kybern node`: the nodes of a cluster made with `up --nodes`, while it runs.

usage: ls | add NAME | rm NAME | stop NAME | start NAME | pause NAME | partition NAME | heal NAME | reset-etcd NAME |
exec NAME -- COMMAND
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from kybern.api.errors import APIError, NotFound
from kybern.client.kubeconfig import connect, load
from kybern.client.rest import Client
from kybern.cluster import etcd_reset, images, machines, seed, several, supervisor
from kybern.cluster.components import components
from kybern.cluster.layout import Layout, Settings, add_data_dir
from kybern.cluster.processes import Process
from kybern.cluster.topology import Member, Topology, layout_of
from kybern.process.daemon import OperatorError

_READY_PATIENCE = 60.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("ls", help="what there is and how it is")
    for name, (_, text) in ACTIONS.items():
        action = actions.add_parser(name, help=text)
        action.add_argument("name", help="the node's name")
        if name == "add":
            action.add_argument("--image-dir", default="/var/cache/kybern", help="where built image archives are kept")
        if name == "exec":
            action.add_argument("command", nargs=argparse.REMAINDER, help="what to run in the node's namespaces")


async def run(args: argparse.Namespace) -> int | None:
    layout = Layout.of(args)
    home, topology = layout.read_settings(), Topology.read(layout)
    if home is None or topology is None:
        raise OperatorError(f"there are no nodes in namespaces in {layout.root}; `kybern up --nodes N` makes them")
    if args.action == "ls":
        return await _list(layout, topology)
    if args.action == "add":
        return await _add(args, layout, home, topology)
    act, _ = ACTIONS[args.action]
    await act(args, layout, topology, topology.member(args.name))
    return 0


async def _list(layout: Layout, topology: Topology) -> int:
    ready = await _conditions(layout)
    sys.stdout.write(f"{'NAME':<16}{'ROLE':<15}{'ADDRESS':<16}{'STATE':<13}{'READY':<9}{'MEMORY':>9}\n")
    for member in topology.members:
        size = sum(_resident(pid) for pid in (process.pid for process in machines.processes(member.name)))
        role = "control-plane" if member.control_plane else "worker"
        sys.stdout.write(
            f"{member.name:<16}{role:<15}{member.ip:<16}{_state(member):<13}{ready.get(member.name, '?'):<9}"
            f"{size / 2**20:>5.0f} MiB\n"
        )
    sys.stdout.writelines(f"{line}\n" for member in topology.members for line in _ailing(layout, member))
    return 0


def _ailing(layout: Layout, member: Member) -> Iterator[str]:
    """What a running node should run and doesn't, a line each."""
    own = layout_of(layout, member.name)
    settings = own.read_settings()
    if settings is None or _state(member) not in ("running", "partitioned"):
        return
    for component in components(own, settings):
        if Process.read(own.run / f"{component.name}.json") is None:
            advice = f"; if its data is damaged, `kybern node reset-etcd {member.name}` makes it anew from the others"
            log = own.logs / f"{component.name}.log"
            yield f"{member.name}: {component.name} ended and is started again; see {log}" + (
                advice if component.name == "etcd" else ""
            )


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _state(member: Member) -> str:
    if member.stopped:
        return "stopped"
    if machines.is_frozen(member.name):
        return "paused"
    if not machines.processes(member.name):
        return "down"
    return "partitioned" if machines.is_cut_off(member) else "running"


async def _conditions(layout: Layout) -> dict[str, str]:
    """Name -> True, False or Unknown, as the API has it; nothing if it does not answer."""
    client = connect(load(layout.admin_kubeconfig), "kybern-node")
    with contextlib.suppress(APIError, OSError):  # TimeoutError is an OSError
        async with asyncio.timeout(3):
            listed = (await client.resource("v1", "nodes", namespaced=False).list()).items
            await client.close()
            return {node["metadata"]["name"]: several.ready_condition(node).get("status", "?") for node in listed}
    await client.close()
    return {}


async def _add(args: argparse.Namespace, layout: Layout, home: Settings, topology: Topology) -> int:
    """A worker more, Ready at the end."""
    grown = topology.with_new(args.name)
    member = grown.member(args.name)
    archives = await asyncio.to_thread(images.archives, Path(args.image_dir))
    seeded = await asyncio.to_thread(seed.make, Path(args.image_dir), archives)
    await asyncio.to_thread(several.prepare_node, layout, home, grown, member, seeded, archives)
    grown.write(layout)
    supervisor.look_again(layout)
    await _with_client(layout, lambda client: several.wait_for_nodes(client, [member.name], _READY_PATIENCE, _ready))
    return 0


def _ready(name: str) -> None:
    sys.stdout.write(f"node {name} is Ready\n")


async def _with_client(layout: Layout, use: Callable[[Client], Awaitable[None]]) -> None:
    client = connect(load(layout.admin_kubeconfig), "kybern-node")
    try:
        await use(client)
    finally:
        await client.close()


Action = Callable[[argparse.Namespace, Layout, Topology, Member], Awaitable[None]]


async def _remove(args: argparse.Namespace, layout: Layout, topology: Topology, member: Member) -> None:
    if member.control_plane:
        raise OperatorError(f"{member.name} runs a control plane; `kybern node stop {member.name}` switches it off")
    await _off(layout, topology, member)
    topology.without(member.name).write(layout)
    machines.remove_network(member)
    machines.remove_groups(member.name)

    async def forget(client: Client) -> None:
        with contextlib.suppress(NotFound):
            await client.resource("v1", "nodes", namespaced=False).delete(member.name)

    await _with_client(layout, forget)
    shutil.rmtree(layout_of(layout, member.name).root, ignore_errors=True)


async def _off(layout: Layout, topology: Topology, member: Member) -> None:
    """As if its power were cut."""
    topology.with_stopped(member.name, True).write(layout)
    own = Process.read(layout.run / f"node-{member.name}.json")
    await asyncio.to_thread(machines.kill, member.name)
    supervisor.look_again(layout)
    while own and own.alive():
        await asyncio.sleep(0.05)
    _reroute(layout)


async def _stop(args: argparse.Namespace, layout: Layout, topology: Topology, member: Member) -> None:
    await _off(layout, topology, member)


async def _start(args: argparse.Namespace, layout: Layout, topology: Topology, member: Member) -> None:
    if machines.is_frozen(member.name):
        machines.freeze(member.name, frozen=False)
    if member.stopped:
        topology.with_stopped(member.name, False).write(layout)
        supervisor.look_again(layout)
        _reroute(layout)


def _reroute(layout: Layout) -> None:
    home, topology = layout.read_settings(), Topology.read(layout)
    assert home is not None and topology is not None
    machines.route_services(topology, home.service_cidr)


async def _pause(args: argparse.Namespace, layout: Layout, topology: Topology, member: Member) -> None:
    machines.freeze(member.name, frozen=True)


async def _partition(args: argparse.Namespace, layout: Layout, topology: Topology, member: Member) -> None:
    machines.set_link(member, up=False)


async def _heal(args: argparse.Namespace, layout: Layout, topology: Topology, member: Member) -> None:
    machines.set_link(member, up=True)


async def _reset_etcd(args: argparse.Namespace, layout: Layout, topology: Topology, member: Member) -> None:
    await etcd_reset.reset(layout, topology, member)


async def _exec(args: argparse.Namespace, layout: Layout, topology: Topology, member: Member) -> None:
    inside = Process.read(layout.run / f"node-{member.name}.json")
    if inside is None:
        raise OperatorError(f"{member.name} does not run; `kybern node start {member.name}`")
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    sys.stdout.flush()
    words = ["nsenter", f"--target={inside.pid}", "--net", "--mount", "--uts", "--", *(command or ["sh"])]
    os.execvp(words[0], words)


ACTIONS: dict[str, tuple[Action, str]] = {
    "add": (_start, "a worker more"),
    "rm": (_remove, "take a worker away for good"),
    "stop": (_stop, "cut its power: everything in it is killed"),
    "start": (_start, "switch a stopped node on again, or let a paused one go on"),
    "pause": (_pause, "hold every process of it still"),
    "partition": (_partition, "pull its network cable"),
    "heal": (_heal, "plug it in again"),
    "reset-etcd": (_reset_etcd, "make its member of etcd anew from the others, in place of a damaged one"),
    "exec": (_exec, "run a command in its namespaces"),
}
