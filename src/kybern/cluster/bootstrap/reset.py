"""`kybern reset`: undo `init` or `join` on this machine. Its member of etcd leaves the others first. Idempotent."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

from kybern.cluster import cloud, down, host
from kybern.cluster.bootstrap import etcd
from kybern.cluster.bootstrap.machine import say
from kybern.cluster.layout import JOINED, Layout, Settings, add_data_dir
from kybern.process.daemon import OperatorError

_CGROUPS = Path("/sys/fs/cgroup")
_ETCD_PATIENCE = 30.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    parser.add_argument("--skip-etcd", action="store_true", help="don't tell the other members of etcd")


async def run(args: argparse.Namespace) -> int:
    layout = Layout.of(args)
    settings = layout.read_settings()
    if settings is None:
        if layout.root.exists() and any(layout.root.iterdir()):
            raise OperatorError(f"{layout.root} has files but no node of kybern's; remove it yourself if you are sure")
        say(f"there is no node in {layout.root}")
        return 0
    if settings.role != JOINED:
        raise OperatorError(f"the cluster in {layout.root} was made by `kybern up`; `kybern down` takes it away")
    if (layout.manifests / "etcd.yaml").exists() and not args.skip_etcd:
        await _leave_etcd(layout, settings)
    await down.stop(layout, ("supervisor", "kubelet"))
    await down.remove_pods(layout)
    await down.stop(layout, ("containerd",))
    await asyncio.to_thread(_clean, layout, settings)
    say(f"nothing of the node is left; `kubectl delete node {settings.node_name}` has the cluster forget it")
    return 0


async def _leave_etcd(layout: Layout, settings: Settings) -> None:
    """Whatever is wrong there, the machine is cleared; only the operator can mend the rest."""
    try:
        async with asyncio.timeout(_ETCD_PATIENCE):
            if await etcd.leave(layout, settings):
                say(f"member {settings.node_name} has left etcd")
    except (OperatorError, TimeoutError) as error:
        advice = f"`kybern etcd member remove {settings.node_name}` on another control plane"
        sys.stderr.write(f"kybern: etcd was not told ({error or 'no answer'}); if others go on, {advice}\n")


def _clean(layout: Layout, settings: Settings) -> None:
    host.kill_containers(layout)
    for command in (["proxy", "--cleanup"], ["network", "--cleanup"]):
        subprocess.run([sys.executable, "-m", "kybern", *command], capture_output=True, check=False)
    host.remove_network_leftovers()
    host.unmount_below(layout.root)
    _remove_groups(settings.group)
    host.remove_dummy()
    cloud.remove()
    host.restore(layout)
    host.remove_tree(layout)


def _remove_groups(root: str) -> None:
    """The control groups of pods, innermost first, in every hierarchy."""
    group = Path(root, "kubepods")
    for top in {*_CGROUPS.glob(f"*/{group}"), *_CGROUPS.glob(str(group))}:
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
