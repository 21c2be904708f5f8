"""Measure everything the design sets aims for and write docs/performance.md.

usage: run.py [--quick]; root, and no cluster of `kybern up` running: it makes one for the figures of real pods
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from kybern.process.clock import clock

ROOT = Path(__file__).resolve().parents[1]
API_ROWS = (
    # figure, what it is, unit, upstream v1.36 on such a machine, kybern's aim
    ("get_us", "GET a pod, CPU per request", "µs", "615", "≤ 300"),
    ("create_us", "create a pod, CPU per request (32 clients)", "µs", "1850", "≤ 900"),
    ("patch_us", "merge-patch a pod, CPU per request", "µs", "3500", "≤ 1000"),
    ("list_ms", "LIST 5,000 pods", "ms", "313", "≤ 40"),
    ("list_none_ms", "LIST by label, nothing matches, of 5,000", "ms", "113", "≤ 5"),
    ("watch_us", "watch: CPU per event per watcher (200 watchers, TLS)", "µs", "68", "≤ 30"),
    ("idle_mib", "API server + store, resident, idle", "MiB", "326", "≤ 90"),
    ("loaded_mib", "API server + store, resident, after 5,000 pods and lists", "MiB", "620", "≤ 160"),
    ("ready_s", "API server ready after start", "s", "3.8–4.5", "≤ 1"),
    ("deletecollection_s", "deletecollection of 5,000 pods", "s", "16", "≤ 2"),
)
POD_ROWS = (
    ("up_ready_s", "`up` until the node is Ready, images built", "s", "15–50 (k3s, kind)", "≤ 8"),
    ("one_ready_s", "one pod, create to Ready", "s", "0.8", "≤ 0.6"),
    ("ready_s 30", "one node, 30 pods from one local image, until all Ready", "s", "6.7", "≤ 5"),
    ("ready_s 80", "one node, 80 pods, until all Ready", "s", "25.9", "≤ 15"),
    ("cpu_ms_per_pod 80 kubelet", "kubelet: CPU per pod started", "ms", "42–70", "≤ 40"),
    ("idle_percent 80 kubelet", "kubelet: CPU when idle with 80 pods", "%", "6", "≤ 3"),
    ("rss_mib all", "whole control plane and one node, resident: all processes and containerd", "MiB", "1000", "≤ 400"),
)
SCHEDULER = (
    "Every node is scored for every pod. Upstream v1.36 scores a sample of 5,000 nodes and takes 20–36 ms CPU per pod, "
    "35–50 pods/s end to end; kybern's aim is ≤ 1.5 ms and ≥ 500 pods/s."
)
STAGES = (
    "CPU of one request after the other, in one process, with the default admission plugins, RBAC, API Priority and "
    "Fairness and audit at Metadata; without the listener. The meter itself costs some of it."
)
HEAD = ("| figure | here | upstream v1.36 | aim |", "| --- | --- | --- | --- |")


def figures(script: str, *arguments: str) -> dict[str, float]:
    """Run a benchmark that takes --json and give what it wrote."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [sys.executable, "-m", f"bench.{script}", *arguments, "--json", out.name]
        subprocess.run(command, cwd=ROOT, check=True)
        return dict(json.loads(Path(out.name).read_text()))


def said(script: str, *arguments: str) -> str:
    """Run a benchmark and give what it printed."""
    command = [sys.executable, "-m", f"bench.{script}", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def rows(table: tuple[tuple[str, str, str, str, str], ...], found: dict[str, float]) -> list[str]:
    return [f"| {what} | {found[key]:.3g} {unit} | {upstream} | {aim} |" for key, what, unit, upstream, aim in table]


def machine() -> str:
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} × {model.partition(': ')[2]}, {memory:.0f} GiB, {system}, {clock.stamp()[:10]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the pods: a look, not a figure to write down")
    quick = parser.parse_args().quick
    lines = ["# Performance", "", f"Made by `make bench` on {machine()}.", "", *HEAD]
    lines += rows(API_ROWS, figures("api_bench", "--pods", "500" if quick else "5000"))
    lines += rows(POD_ROWS, figures("pods_bench"))
    lines += ["", "## The stages of a request", "", STAGES, "", "```", said("stages_bench"), "```"]
    lines += ["", "## The scheduler", "", SCHEDULER, "", "```", said("scheduler_bench"), "```"]
    lines += ["", "## The store", "", "```", said("store_bench"), "```"]
    notes = ROOT / "docs" / "performance-notes.md"
    if notes.exists():
        lines += ["", notes.read_text().strip()]
    text = "\n".join(lines) + "\n"
    print(text)
    if not quick:
        (ROOT / "docs" / "performance.md").write_text(text)


if __name__ == "__main__":
    main()
