"""The file of --audit-log-path: one event a line, rotated by size.

Source: kube-apiserver's reference, the --audit-log flags; rotated files are named as upstream names them.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

STDOUT = "-"
MEGABYTE = 1 << 20
PACKED = ".gz"
DAY = 86400.0
_STAMP = "%Y-%m-%dT%H-%M-%S.%f"

log = logging.getLogger(__name__)


class AuditLog:
    """Appends lines to a file, or to standard output. Beyond `megabytes` (0: never) the file is set aside, and
    compressed if `compress`; of such `backups` are kept (0: all), none older than `days` (0: any age)."""

    def __init__(
        self, path: str, *, megabytes: int = 0, backups: int = 0, days: int = 0, compress: bool = False
    ) -> None:
        """Raises OperatorError where it can't be written to."""
        self._path = Path(path)
        self._limit = megabytes * MEGABYTE or float("inf")
        self._backups, self._days, self._compress = backups, days, compress
        self._compressing: list[threading.Thread] = []
        try:
            self._file = self._opened() if path != STDOUT else None
        except OSError as error:
            raise OperatorError(f"--audit-log-path {path}: {error.strerror}; name a file that can be made") from error
        self._size = self._file.tell() if self._file else 0

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines, which have their ends. Raises OSError."""
        if self._file is None:
            sys.stdout.buffer.write(b"".join(lines))
            sys.stdout.buffer.flush()
            return
        held: list[bytes] = []
        for line in lines:
            if self._size and self._size + len(line) > self._limit:
                self._file.write(b"".join(held))
                held = []
                self._rotate()
            held.append(line)
            self._size += len(line)
        if held:
            self._file.write(held[0] if len(held) == 1 else b"".join(held))

    def close(self) -> None:
        """Close the file. Blocks."""
        for thread in self._compressing:
            thread.join()
        if self._file:
            self._file.close()

    def _opened(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(handle, "ab", buffering=0)

    def _rotate(self) -> None:
        assert self._file is not None
        self._file.close()
        aside = self._unused()
        os.replace(self._path, aside)
        self._file = self._opened()
        self._size = 0
        self._prune()
        self._compressing = [thread for thread in self._compressing if thread.is_alive()]
        if self._compress:
            thread = threading.Thread(target=_pack, args=(aside,), name="audit-log", daemon=True)
            thread.start()
            self._compressing.append(thread)

    def _unused(self) -> Path:
        """The path of now, or of the first millisecond after that has no backup yet."""
        now = clock.time()
        while True:
            stamp = datetime.fromtimestamp(now, UTC).strftime(_STAMP)[:-3]
            aside = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
            if not aside.exists() and not aside.with_name(aside.name + PACKED).exists():
                return aside
            now += 0.001

    def _prune(self) -> None:
        """Remove the backups that are too many or too old."""
        found = []
        for path in self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}*"):
            text = path.name.removeprefix(f"{self._path.stem}-").removesuffix(PACKED).removesuffix(self._path.suffix)
            try:
                found.append((datetime.strptime(text, _STAMP).replace(tzinfo=UTC).timestamp(), path))
            except ValueError:
                continue  # someone else's file
        found.sort(reverse=True)
        for number, (made, path) in enumerate(found):
            too_many = 0 < self._backups <= number
            if too_many or (self._days and made < clock.time() - self._days * DAY):
                path.unlink(missing_ok=True)


def _pack(path: Path) -> None:
    """Put a compressed file in the place of one. What fails leaves it as it is."""
    packed = path.with_name(path.name + PACKED)
    try:
        with path.open("rb") as plain, gzip.open(packed, "wb", compresslevel=1) as smaller:
            shutil.copyfileobj(plain, smaller)
        packed.chmod(0o600)
        path.unlink()
    except OSError as error:
        log.error("compressing %s: %s", path, error.strerror)
        packed.unlink(missing_ok=True)
