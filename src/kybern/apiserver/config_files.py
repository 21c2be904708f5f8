"""Configuration files of apiserver.config.k8s.io: read strictly, checked by whoever knows the kind, and followed.

document = read("--authorization-config", path, KIND, VERSIONS)     # raises OperatorError
watcher = Follower(path, reload)                                      # `reload()` after each change
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.process.daemon import OperatorError

GROUP = "apiserver.config.k8s.io"
EVERY = 1.0
"""Seconds between two looks at whether a file changed."""

log = logging.getLogger(__name__)


def read(flag: str, path: Path, kind: str, versions: Sequence[str], group: str = GROUP) -> Object:
    """The file's object. Raises OperatorError."""
    import yaml

    try:
        document = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise OperatorError(f"{flag} {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OperatorError(f"{flag} {path}: no YAML: {' '.join(str(error).split())}") from error
    known = [f"{group}/{version}" for version in versions]
    given = (document.get("apiVersion"), document.get("kind")) if isinstance(document, dict) else None
    if given is None or given[0] not in known or given[1] != kind:
        raise OperatorError(f"{flag} {path}: it must be of kind {kind} in {' or '.join(known)}")
    found: Object = document
    return found


def fields(errors: Errors, path: str, found: Any, known: Sequence[str]) -> Object:
    """A map with these fields; {} and an error where it is none. Others are errors."""
    if found is None:
        return {}
    if not isinstance(found, dict):
        errors.invalid(path, type(found).__name__, "must be a map")
        return {}
    for name in found:
        if name not in known:
            errors.invalid(f"{path}.{name}" if path else str(name), str(name), "unknown field")
    return found


def items(errors: Errors, path: str, found: Any) -> list[Any]:
    """A list; [] and an error where it is none."""
    if found is None:
        return []
    if not isinstance(found, list):
        errors.invalid(path, type(found).__name__, "must be a list")
        return []
    return found


def text(errors: Errors, path: str, found: Any) -> str:
    """A string, "" where there is none; an error where it is something else."""
    if found is None:
        return ""
    if not isinstance(found, str):
        errors.invalid(path, str(found), "must be a string")
        return ""
    return found


def texts(errors: Errors, path: str, found: Any) -> list[str]:
    """A list of strings."""
    return [text(errors, f"{path}[{number}]", one) for number, one in enumerate(items(errors, path, found))]


class Follower:
    """Calls `reload` whenever one of the files is another."""

    def __init__(self, reload: Callable[[], Awaitable[None]], *paths: Path) -> None:
        self._paths, self._reload = paths, reload
        self._stamp = self._look()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on."""
        self._task = asyncio.ensure_future(self._follow())

    async def stop(self) -> None:
        """No longer."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _look(self) -> tuple[int, ...]:
        """What is another after a change; empty where a file can't be looked at."""
        try:
            found = [os.stat(path) for path in self._paths]
        except OSError:
            return ()
        return tuple(value for one in found for value in (one.st_mtime_ns, one.st_size, one.st_ino))

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            stamp = self._look()
            if not stamp or stamp == self._stamp:
                continue
            self._stamp = stamp
            try:
                await self._reload()
            except Exception:
                log.exception("taking in %s", ", ".join(map(str, self._paths)))
