"""Processes remembered across restarts: a pid alone may be somebody else's by now, so its start time goes with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil

from kybern.cluster.layout import write_json


@dataclass(frozen=True)
class Process:
    """A process of ours; `started` is psutil's create_time, which outlives pid reuse."""

    pid: int
    started: float

    @classmethod
    def current(cls) -> Process:
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Process:
        """Raises psutil.NoSuchProcess."""
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def read(cls, path: Path) -> Process | None:
        """What was remembered in `path`, if it still runs."""
        try:
            found = cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.alive() else None

    def write(self, path: Path) -> None:
        write_json(path, {"pid": self.pid, "started": self.started})

    def alive(self) -> bool:
        """Whether this very process runs (a zombie doesn't)."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1
            return same and process.status() != psutil.STATUS_ZOMBIE
        return False

    async def stop(self, patience: float) -> None:
        """SIGTERM, then SIGKILL after `patience` seconds; returns when it is gone."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            if not self.alive():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            for _ in range(int(seconds / 0.05)):
                if not self.alive():
                    return
                await asyncio.sleep(0.05)
