"""The file of --audit-log-path: one JSON document a line, written by a thread, rotated by size.

Source: kube-apiserver's reference, the --audit-log flags; rotated files are named as upstream names them.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

STDOUT = "-"
MEGABYTE = 1 << 20
DEFAULT_MEGABYTES = 100
"""A file's size where none is given."""
BATCH = 256
"""Lines written at a time, at most."""
DAY = 86400.0
_STAMP = "%Y-%m-%dT%H-%M-%S.%f"

log = logging.getLogger(__name__)

Line = Callable[[], bytes]
"""Makes a line, without its end; called in the thread."""


class AuditLog:
    """Writes lines to a file, or to standard output. Beyond `megabytes` the file is set aside; of such `backups` are
    kept (0: all), none older than `days` (0: any age). `close` returns when all is written."""

    def __init__(self, path: str, *, megabytes: int = 0, backups: int = 0, days: int = 0) -> None:
        """Raises OperatorError where it can't be written to."""
        self._path = Path(path)
        self._limit = (megabytes or DEFAULT_MEGABYTES) * MEGABYTE
        self._backups, self._days = backups, days
        self._lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        try:
            self._file = self._opened() if path != STDOUT else None
        except OSError as error:
            raise OperatorError(f"--audit-log-path {path}: {error.strerror}; name a file that can be made") from error
        self._size = self._file.tell() if self._file else 0
        self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)
        self._thread.start()

    def write(self, line: Line) -> None:
        """Have a line written soon."""
        self._lines.put(line)

    def close(self) -> None:
        """Write what is left, and close the file. Blocks."""
        self._lines.put(None)
        self._thread.join()
        if self._file:
            self._file.close()

    def _opened(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(handle, "ab", buffering=0)

    def _run(self) -> None:
        while True:
            batch = [self._lines.get()]
            while batch[-1] is not None and len(batch) < BATCH and not self._lines.empty():
                batch.append(self._lines.get())
            lines = []
            for make in batch:
                if make is not None:
                    try:
                        lines.append(make() + b"\n")
                    except (TypeError, ValueError):
                        log.exception("an audit event could not be encoded")
            try:
                self._put(lines)
            except OSError as error:
                log.error("%d audit events are lost: %s: %s", len(lines), self._path, error.strerror)
            if batch[-1] is None:
                return

    def _put(self, lines: list[bytes]) -> None:
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
        self._file.write(b"".join(held))

    def _rotate(self) -> None:
        assert self._file is not None
        stamp = datetime.fromtimestamp(clock.time(), UTC).strftime(_STAMP)[:-3]
        self._file.close()
        os.replace(self._path, self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}"))
        self._file = self._opened()
        self._size = 0
        self._prune()

    def _prune(self) -> None:
        """Remove the backups that are too many or too old."""
        found = []
        for path in self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"):
            text = path.name.removeprefix(f"{self._path.stem}-").removesuffix(self._path.suffix)
            try:
                found.append((datetime.strptime(text, _STAMP).replace(tzinfo=UTC).timestamp(), path))
            except ValueError:
                continue  # someone else's file
        found.sort(reverse=True)
        for number, (made, path) in enumerate(found):
            too_many = 0 < self._backups <= number
            if too_many or (self._days and made < clock.time() - self._days * DAY):
                path.unlink(missing_ok=True)
