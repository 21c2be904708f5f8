"""`kybern status`: what runs, since when, how much memory it takes, and whether the API and the node are well."""

from __future__ import annotations

import argparse
import asyncio
import sys

import psutil

from kybern.api.durations import human
from kybern.api.errors import APIError
from kybern.client.kubeconfig import connect, load
from kybern.cluster.components import components
from kybern.cluster.layout import Layout, Settings, add_data_dir
from kybern.cluster.processes import Process
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

_MIB = 1024 * 1024


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)


async def run(args: argparse.Namespace) -> int:
    layout = Layout.of(args)
    settings = layout.read_settings()
    if settings is None:
        raise OperatorError(f"there is no cluster in {layout.root}; `kybern up` makes one")
    names = ["supervisor", *(component.name for component in components(layout, settings))]
    rows = [_row(name, Process.read(layout.run / f"{name}.json")) for name in names]
    sys.stdout.write(f"{'PROCESS':<20}{'PID':>8}  {'UP':<8}{'MEMORY':>10}\n")
    sys.stdout.writelines(f"{line}\n" for line, _ in rows)
    sys.stdout.write(f"{'all together':<38}{sum(size for _, size in rows) / _MIB:>6.0f} MiB\n")
    well, said = await _server(layout, settings)
    sys.stdout.write(f"{said}\n")
    return 0 if well and all(size for _, size in rows) else 1


def _row(name: str, process: Process | None) -> tuple[str, int]:
    try:
        size = int(psutil.Process(process.pid).memory_info().rss) if process else 0
    except psutil.NoSuchProcess:  # it has just ended
        size = 0
    if not process or not size:
        return f"{name:<20}{'-':>8}  not running", 0
    uptime = human(clock.time() - process.started)
    return f"{name:<20}{process.pid:>8}  {uptime:<8}{size / _MIB:>6.0f} MiB", size


async def _server(layout: Layout, settings: Settings) -> tuple[bool, str]:
    client = connect(load(layout.admin_kubeconfig), "kybern-status", quiet=True)
    try:
        async with asyncio.timeout(5):
            node = await client.resource("v1", "nodes", namespaced=False).get(settings.node_name)
    except (APIError, OSError) as error:  # TimeoutError is an OSError
        return False, f"the API server does not answer: {error or 'no answer in 5 s'}; see {layout.logs}/apiserver.log"
    finally:
        await client.close()
    conditions = {c["type"]: c for c in node.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    text = "Ready" if ready.get("status") == "True" else f"not Ready: {ready.get('message', 'no report')}"
    return ready.get(
        "status"
    ) == "True", f"API server at https://{settings.node_ip}:{settings.secure_port}; node {settings.node_name} is {text}"
