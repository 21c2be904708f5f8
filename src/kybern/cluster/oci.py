"""Writing OCI image archives: layers from files on this machine, no registry, no engine.

An archive is a tar of an OCI image layout (image-spec v1.1), as `ctr images import` and `docker load` take it.
Layers are uncompressed: they are read once, from the same disk, by a local runtime.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64", "s390x": "s390x", "ppc64le": "ppc64le"}
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass
class Layer:
    """A file tree: path in the image -> a file on this machine, bytes, or a link target."""

    files: dict[str, Path] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    directories: dict[str, int] = field(default_factory=dict)
    """path -> mode; parents are made as they are needed."""

    def write(self, out: IO[bytes]) -> None:
        """Write the layer's tar; the same content gives the same bytes."""
        made: set[str] = set()
        with tarfile.open(fileobj=out, mode="w|", bufsize=1 << 20, format=tarfile.PAX_FORMAT) as tar:
            for path, mode in sorted(self.directories.items()):
                _directory(tar, path, mode, made)
            for path in sorted({*self.files, *self.texts, *self.links}):
                _directory(tar, os.path.dirname(path), 0o755, made)
                if path in self.files:
                    _file(tar, path, self.files[path])
                elif path in self.texts:
                    info = tarfile.TarInfo(path)
                    info.size, info.mode = len(self.texts[path]), 0o644
                    tar.addfile(info, io.BytesIO(self.texts[path]))
                else:
                    info = tarfile.TarInfo(path)
                    info.type, info.linkname = tarfile.SYMTYPE, self.links[path]
                    tar.addfile(info)


def _directory(tar: tarfile.TarFile, path: str, mode: int, made: set[str]) -> None:
    if not path or path in made:
        return
    _directory(tar, os.path.dirname(path), 0o755, made)
    made.add(path)
    info = tarfile.TarInfo(path)
    info.type, info.mode = tarfile.DIRTYPE, mode
    tar.addfile(info)


def _file(tar: tarfile.TarFile, path: str, source: Path) -> None:
    found = source.stat()
    info = tarfile.TarInfo(path)
    info.size = found.st_size
    # The time is kept: Python's compiled files are valid only beside a source of that very time.
    info.mtime = int(found.st_mtime)
    info.mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
    with source.open("rb") as data:
        tar.addfile(info, data)


class _Hashing:
    """A write-only file that counts and hashes what is written through it."""

    def __init__(self, out: IO[bytes]) -> None:
        self.out, self.digest, self.size = out, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        self.out.write(data)
        return len(data)

    def close(self) -> None:
        """The tar writer closes what it wrote to; the spool stays open for reading."""


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}


def architecture() -> str:
    """This machine's architecture in GOARCH terms, which images and node labels use."""
    return _ARCH.get(platform.machine(), platform.machine())


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file that appears at `target` only when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as out:
        try:
            yield out
            out.flush()
            os.replace(out.name, target)
        except BaseException:
            os.unlink(out.name)
            raise


def write_layer(make: Callable[[], Layer], directory: Path, stamp: str) -> Path:
    """The layer `make` gives as a tar `STAMP.DIGEST.tar` in `directory`; made only if there is none of that stamp."""
    for found in directory.glob(f"{stamp}.*.tar"):
        return found
    with _replacing(directory / f"{stamp}.tmp") as out:
        hashing = _Hashing(out)
        make().write(cast("IO[bytes]", hashing))
    made = directory / f"{stamp}.tmp"
    return made.rename(directory / f"{stamp}.{hashing.digest.hexdigest()}.tar")


def write_archive(target: Path, names: Sequence[str], layers: Sequence[Path], config: Mapping[str, Any]) -> None:
    """Write an image of `layers` (from write_layer) under every name in `names` (full references, `registry/path:tag`).

    `config` is the image configuration's `config` object: Entrypoint, Cmd, Env, WorkingDir, User.
    """
    with _replacing(target) as out, tarfile.open(fileobj=out, mode="w") as tar:
        descriptors = [_add_layer(tar, layer) for layer in layers]
        image = {
            "architecture": architecture(),
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [d["digest"] for d in descriptors]},
        }
        config_descriptor = _add_json(tar, image, _CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config_descriptor, "layers": descriptors}
        found = _add_json(tar, manifest, _MANIFEST)
        names_of = [
            {**found, "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}}
            for name in names
        ]
        _add_bytes(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": names_of}).encode())
        _add_bytes(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')


def _add_layer(tar: tarfile.TarFile, layer: Path) -> dict[str, Any]:
    digest, size = layer.name.split(".")[-2], layer.stat().st_size
    info = tarfile.TarInfo(f"blobs/sha256/{digest}")
    info.size = size
    with layer.open("rb") as data:
        tar.addfile(info, data)
    return _descriptor(_LAYER, digest, size)


def _add_json(tar: tarfile.TarFile, content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    data = json.dumps(content, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    _add_bytes(tar, f"blobs/sha256/{digest}", data)
    return _descriptor(kind, digest, len(data))


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
