"""Writing a set of files so that a reader sees all of the old ones or all of the new.

The files are in a directory named by time; `..data` links to it and is replaced by one rename; every visible name
links through `..data`. The layout is upstream's, which programs that watch for changes know.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kybern.kubelet.volumes.base import VolumeError, own_by_group
from kybern.process.clock import clock

_DATA, _NEXT = "..data", "..data_tmp"


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int
    user: int | None = None
    """Its owner; None is root."""


Payload = Mapping[str, File]
"""Relative path -> file."""


def write(target: Path, payload: Payload, group: int | None = None) -> bool:
    """Make `target` hold exactly `payload`, owned by `group` if given. False if it did already."""
    _check(payload)
    target.mkdir(parents=True, exist_ok=True, mode=0o755)
    target.chmod(0o755)
    current = target / _DATA
    if current.is_symlink() and _same(current.resolve(), payload):
        return False
    old = target / os.readlink(current) if current.is_symlink() else None
    fresh = Path(tempfile.mkdtemp(prefix=clock.now().strftime("..%Y_%m_%d_%H_%M_%S."), dir=target))
    fresh.chmod(0o755)
    for path, file in payload.items():
        where = fresh / path
        where.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        where.write_bytes(file.data)
        where.chmod(file.mode)
        if file.user is not None:
            os.chown(where, file.user, -1)
    own_by_group(fresh, group, writable=False)
    following = target / _NEXT
    following.unlink(missing_ok=True)
    following.symlink_to(fresh.name)
    following.rename(current)
    _link(target, payload)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _check(payload: Payload) -> None:
    for path in payload:
        parts = Path(path).parts
        if os.path.isabs(path) or not parts or ".." in parts or parts[0].startswith(".."):
            raise VolumeError(f"invalid path {path!r}: must be relative and may not contain or start with '..'")


def _same(directory: Path, payload: Payload) -> bool:
    walked = ((at, name) for at, _, names in os.walk(directory) for name in names)
    found = {os.path.relpath(os.path.join(at, name), directory) for at, name in walked}
    if found != {os.path.normpath(path) for path in payload}:
        return False
    return all((directory / path).read_bytes() == file.data for path, file in payload.items())


def _link(target: Path, payload: Payload) -> None:
    """Make the visible names, and remove those of files that are gone."""
    wanted = {Path(path).parts[0] for path in payload}
    for entry in os.listdir(target):
        if not entry.startswith("..") and entry not in wanted:
            (target / entry).unlink()
    for name in wanted:
        if not (target / name).is_symlink():
            (target / name).symlink_to(f"{_DATA}/{name}")
