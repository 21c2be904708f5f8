"""kill -9 under write load: nothing acknowledged or told to a watch is lost, and the next start recovers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kybern.store.sqlite import SqliteStore

KILLS = 50
WRITER = Path(__file__).with_name("crash_writer.py")


class Ledger:
    """What the killed process had said: what must be there, and what may be."""

    def __init__(self) -> None:
        self.state: dict[str, str | None] = {}
        self.revision = 0
        self.acknowledged = 0

    def read(self, said: str) -> dict[str, str | None]:
        """Take in one run's lines. Gives the writes that were under way: they may or may not have happened."""
        under_way: dict[str, tuple[str, str | None]] = {}
        for line in said.splitlines():
            what, *rest = line.split()
            if what == "wish":
                writer, key, value = rest
                under_way[writer] = (key, None if value == "-" else value)
            elif what == "done":
                writer, revision = rest
                assert int(revision) > self.revision, "revisions go up, across restarts too"
                self.revision = int(revision)
                key, outcome = under_way.pop(writer)
                self.state[key] = outcome
                self.acknowledged += 1
        return dict(under_way.values())


def run_and_kill(path: Path, after: float, seed: int) -> str:
    """Start the writer, let it write for `after` seconds, kill it. Gives its whole lines."""
    child = subprocess.Popen([sys.executable, str(WRITER), str(path), str(seed)], stdout=subprocess.PIPE, bufsize=0)
    assert child.stdout is not None
    try:
        first = child.stdout.readline()
        assert first == b"ready\n", "the writer could not open the store"
        reader, said = child.stdout, bytearray()
        end = time.monotonic() + after
        while time.monotonic() < end:
            said += os.read(reader.fileno(), 1 << 16)
        os.kill(child.pid, signal.SIGKILL)
        while chunk := os.read(reader.fileno(), 1 << 16):
            said += chunk
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    return said[: said.rfind(b"\n") + 1].decode()


@pytest.mark.timeout(110)
async def test_fifty_kills_lose_nothing(tmp_path: Path) -> None:
    path, ledger, dice = tmp_path / "store.db", Ledger(), random.Random(7)
    for run in range(KILLS):
        said = run_and_kill(path, dice.uniform(0.001, 0.15), run)
        possible = ledger.read(said)
        heard = max((int(line.split()[1]) for line in said.splitlines() if line.startswith("heard")), default=0)
        store = await SqliteStore.open(str(path))
        try:
            revision = await store.revision()
            assert revision >= max(ledger.revision, heard), "an acknowledged or announced write is gone"
            page = await store.list("/w/")
        finally:
            await store.close()
        found = {entry.key: entry.value.split(b" ")[0].decode() for entry in page.entries}
        for key in ledger.state.keys() | possible.keys() | found.keys():
            value = found.get(key)
            assert value == ledger.state.get(key) or (key in possible and value == possible[key]), key
        ledger.state, ledger.revision = dict(found), revision
    assert ledger.acknowledged > KILLS * 10, "hardly any load"
