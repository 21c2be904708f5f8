"""Static pods from a directory of manifests, or one file. A changed directory is noticed within a second."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from kybern.api.types import Object
from kybern.kubelet.sources.base import BadManifest, Changed, parse, static_pod

log = logging.getLogger(__name__)

_LOOK = 1.0
"""Seconds between looks at the directory's times, which cost next to nothing."""


class FileSource:
    """Reads the manifests again when the set of files, their sizes or times change."""

    def __init__(self, path: str, node_name: str, changed: Changed) -> None:
        self.path, self.node_name, self.changed = Path(path), node_name, changed
        self._seen: object = None
        self._pods: dict[str, Object] = {}
        """By UID: an unchanged manifest keeps its pod object."""

    async def run(self) -> None:
        while True:
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                self.changed("file", self.read())
            await asyncio.sleep(_LOOK)

    def _stamp(self) -> object:
        try:
            return [(p.name, s.st_mtime_ns, s.st_size, s.st_ino) for p in self._files() for s in [p.stat()]]
        except OSError:
            return None

    def _files(self) -> list[Path]:
        if self.path.is_dir():
            entries = sorted(os.scandir(self.path), key=lambda entry: entry.name)
            return [Path(entry.path) for entry in entries if entry.is_file() and not entry.name.startswith(".")]
        return [self.path] if self.path.exists() else []

    def read(self) -> list[Object]:
        """All pods of all manifests; a bad file is logged and left out."""
        found: dict[str, Object] = {}
        for file in self._files():
            try:
                for manifest in parse(file.read_text()):
                    pod = static_pod(manifest, str(file), "file", self.node_name)
                    uid = pod["metadata"]["uid"]
                    found[uid] = self._pods.get(uid, pod)
            except (BadManifest, OSError, UnicodeDecodeError) as error:
                log.error("could not process manifest file %s: %s", file, error)
        self._pods = found
        return list(found.values())
