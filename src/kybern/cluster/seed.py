"""A containerd root with the cluster's images unpacked in it, made once and kept beside their archives.

Every node starts from a copy. Blobs and layers never change, so a copy links to them and costs neither time nor room;
containerd's databases do change and are copied.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from kybern.cluster import containerd, host
from kybern.cluster.layout import Layout, write_json
from kybern.process.daemon import OperatorError


def make(directory: Path, archives: dict[str, Path]) -> Path:
    """The seed of these archives below `directory`, made if need be. Blocking. Raises OperatorError."""
    said = json.dumps([sorted(path.name for path in archives.values()), containerd.version()])
    target = directory / f"containerd-{hashlib.sha256(said.encode()).hexdigest()[:12]}"
    if target.exists():
        return target
    # A short path: the socket's may have 108 bytes only.
    with tempfile.TemporaryDirectory(prefix="kybern-seed-") as run:
        scratch = Layout(directory / f".{target.name}.new")
        shutil.rmtree(scratch.root, ignore_errors=True)
        scratch.root.mkdir(parents=True)
        try:
            _fill(scratch, Path(run), list(archives.values()))
            scratch.containerd.rename(target)
        finally:
            host.unmount_below(Path(run))
            shutil.rmtree(scratch.root, ignore_errors=True)
    for old in directory.glob("containerd-*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)
    return target


def _fill(layout: Layout, run: Path, archives: list[Path]) -> None:
    """Import the archives with a containerd of our own."""
    socket, config = run / "containerd.sock", run / "config.toml"
    layout.containerd.mkdir()
    config.write_text(f"""version = 2
root = "{layout.containerd}"
state = "{run}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]

[grpc]
address = "{socket}"
""")
    with (layout.root / "log").open("wb") as log:
        child = subprocess.Popen([containerd.program(), "--config", config], stdout=log, stderr=log)
        try:
            containerd.wait(socket, child)
            for archive in archives:
                containerd.import_image(socket, archive)
        finally:
            child.terminate()
            child.wait(20)


def plant(seed: Path, layout: Layout, archives: dict[str, Path]) -> None:
    """Make a node's containerd root a copy of the seed, unless it has one. Raises OperatorError."""
    root = layout.containerd / "root"
    if root.exists():
        return
    layout.containerd.mkdir(parents=True, exist_ok=True)
    scratch = layout.containerd / ".root.new"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        shutil.copytree(seed, scratch, symlinks=True, copy_function=_link)
    except (OSError, shutil.Error) as error:
        raise OperatorError(f"can't copy the images in {seed} to {root}: {error}") from error
    scratch.rename(root)
    write_json(layout.root / "images.json", {name: archive.name for name, archive in archives.items()})


def _link(source: str, target: str) -> None:
    if not source.endswith(".db"):
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another file system: a real copy then
    shutil.copy2(source, target)
