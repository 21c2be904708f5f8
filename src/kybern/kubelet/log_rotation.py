"""Container logs that have grown too large are set aside, compressed, and dropped when there are too many.

Source: "Logging Architecture", log rotation: containerLogMaxSize and containerLogMaxFiles.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import shutil
from pathlib import Path

from kybern.kubelet.runtime.cache import RuntimeCache
from kybern.kubelet.runtime.client import RuntimeClient, RuntimeFailure
from kybern.process.clock import clock

log = logging.getLogger(__name__)

PERIOD = 10.0


class LogRotation:
    """`max_size` in bytes per log; `max_files` counts the live one too."""

    def __init__(self, runtime: RuntimeClient, cache: RuntimeCache, max_size: int, max_files: int) -> None:
        self._runtime, self._cache = runtime, cache
        self._max_size, self._max_files = max_size, max_files

    async def run(self) -> None:
        """Look at the logs of running containers again and again."""
        while True:
            await asyncio.sleep(PERIOD)
            for pod in [*self._cache.pods.values()]:
                for container in pod.running:
                    path = Path(container.log_path)
                    if container.log_path and _size(path) > self._max_size:
                        try:
                            await self.rotate(container.id, path)
                        except (RuntimeFailure, OSError) as error:
                            log.warning("log %s not rotated: %s", path, error)

    async def rotate(self, container_id: str, path: Path) -> None:
        """Set the log aside and let the runtime begin a new one. Raises RuntimeFailure, OSError."""
        await asyncio.to_thread(_tidy, path, self._max_files - 2)
        aside = path.with_name(f"{path.name}.{clock.now():%Y%m%d-%H%M%S}")
        os.rename(path, aside)
        try:
            await self._runtime.reopen_log(container_id)
        except RuntimeFailure:
            # The runtime still writes to the old file: that is the log then.
            os.rename(aside, path)
            raise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _tidy(path: Path, keep: int) -> None:
    """Of the logs set aside earlier, drop all but the newest `keep`, and compress those."""
    older = sorted(old for old in path.parent.glob(f"{path.name}.*") if old.suffix != ".tmp")
    kept = older[-keep:] if keep > 0 else []
    for old in older:
        if old not in kept:
            old.unlink()
        elif old.suffix != ".gz":
            _compress(old)


def _compress(path: Path) -> None:
    scratch = path.with_name(f"{path.name}.tmp")
    with path.open("rb") as source, gzip.open(scratch, "wb") as target:
        shutil.copyfileobj(source, target)
    os.replace(scratch, path.with_name(f"{path.name}.gz"))
    path.unlink()
