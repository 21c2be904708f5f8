"""Fuzzes for as long as is wanted, and writes down how much was tried: `python -m tests.fuzz.run [SECONDS]`.

Each target of targets.py gets so many seconds under atheris (coverage-guided; `pip install .[fuzz]`), and the server's
own OpenAPI so many examples of each operation. Ends with 1 if anything broke; what broke it lies in build/fuzz.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from kybern.process.clock import clock, monotonic
from tests.fuzz.openapi import Asker, Outcome
from tests.fuzz.page import PAGE, Row, replaced, section
from tests.fuzz.targets import TARGETS
from tests.integration.apiserver.inprocess import serving

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "build" / "fuzz"
def fuzzed(name: str, seconds: int) -> Row:
    """One target, in a process of its own."""
    directory = CORPUS / name.replace(" ", "-").lower()
    began = monotonic()
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(directory / "corpus"), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 300)
    tried = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    if done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)
    return Row(name, int(tried[1]) if tried else 0, monotonic() - began, int(done.returncode != 0))


def requested(examples: int, seed: int) -> Row:
    """The server's own OpenAPI, every group."""
    outcome, began = Outcome(), monotonic()
    with asyncio.Runner() as runner:
        server = serving()
        api = runner.run(server.__aenter__())
        asker = Asker(api, runner.run, outcome)
        for name in runner.run(api.ok("GET", "/openapi/v3"))["paths"]:
            asker.group(name, examples, seed)
        runner.run(server.__aexit__(None, None, None))
    for wrong in outcome.wrong:
        print(wrong, file=sys.stderr)
    return Row("requests of our own OpenAPI", outcome.requests, monotonic() - began, len(outcome.wrong))


def main(seconds: int = 30) -> int:
    """Fuzz, write the section; 1 if anything broke."""
    rows = [fuzzed(name, seconds) for name in TARGETS]
    rows.append(requested(max(2, seconds // 10), int(clock.time())))
    PAGE.write_text(replaced(PAGE.read_text(), section(rows)))
    print(section(rows))
    return int(any(row.broke for row in rows))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
