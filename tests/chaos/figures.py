"""What a run measured, and docs/reliability.md made of it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from kybern.process.clock import clock

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"


@dataclass
class Fault:
    """One fault. `recoveries`: what was waited for, and seconds from the fault to it. `pauses`: the longest time, in
    seconds, in which no client got a write acknowledged: through the balancer, and through any server."""

    title: str
    recoveries: list[tuple[str, float]] = field(default_factory=list)
    pauses: tuple[float, float] = (0.0, 0.0)
    writes: int = 0
    events: int = 0


_HEAD = """# Reliability

`make chaos` makes this page: it breaks a cluster of five nodes with three control planes, one fault after another,
while clients write, read and watch. It fails if one promise is broken.

## What is promised, and how it is checked

| promise | check |
| --- | --- |
| What was acknowledged is there | {writers} writers, one at each API server and one at the balancer, keep each \
acknowledged create, update and delete; at the end every server must list just that |
| No update is lost | All writers count up one object; no two may be told the same number |
| A read sees every acknowledged write | Each write is followed by a read through another server |
| A watch tells each change once, in order, and leaves none out | A watcher at each server; all must tell what the \
others and the writers tell. One whose version is too old is told so and lists anew, as the API has it |
| One leader at a time | Every change of the leases is watched: one holder may follow another only once the lease ran \
out or was given back. What the components log must agree |
| A leader that was held still does not act on its old lease | Its client writes nothing after the renew deadline. The \
test freezes a leader amid work and lets it go on when another leads; no pod may be made twice |

A write whose answer never came may have been carried out or not; the checks allow both. The judges are
`tests/chaos/history.py` and `tests/chaos/leaders.py`; `tests/unit/chaos` tests that they find what they should.

## Fault and recovery
"""
_TABLE = ("| fault | until | seconds |", "| --- | --- | ---: |")
_TAIL = """
The last two lines of each fault are the longest time in which no write was acknowledged: to the client at the balancer,
and to all clients together. A lost worker is noticed after `--node-monitor-grace-period`, a killed leader is replaced
once its lease has run out (15 s); both are upstream's defaults.

## What it does not survive

- Two of three members of etcd lost for good: restore a snapshot ([etcd.md](etcd.md)).
- The balancer is one process on the machine itself. It is started again at once; connections through it break.
"""


def document(faults: list[Fault], writers: int) -> str:
    """The whole page."""
    lines = [*_TABLE]
    for fault in faults:
        title = fault.title
        through, anywhere = fault.pauses
        rows = [*fault.recoveries, ("longest wait of a writer at the balancer", through), ("of all writers", anywhere)]
        for what, seconds in rows:
            lines.append(f"| {title} | {what} | {seconds:.1f} |")
            title = ""
    writes, events = sum(fault.writes for fault in faults), sum(fault.events for fault in faults)
    judged = f"Judged: {writes:,} acknowledged writes and {events:,} events of watches; no complaint."
    return "\n".join([_HEAD.format(writers=writers), f"On {_machine()}:\n", *lines, "", judged]) + "\n" + _TAIL


def _machine() -> str:
    day = clock.now().strftime("%Y-%m-%d")
    memory = psutil.virtual_memory().total / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    system = f"Linux {kernel}, Python {platform.python_version()}"
    return f"{os.cpu_count()} processors, {memory:.0f} GiB, {system}, {day}"
