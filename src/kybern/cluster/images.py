"""The images a cluster needs, made from what is installed on this machine.

- pause: catatonit, which holds a pod's namespaces and reaps its orphans;
- busybox: the static busybox with its applets;
- kybern: the Python runtime, the packages kybern needs, the programs its components start, and kybern itself (the
  sample app is in it).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kybern.cluster.containerd import PAUSE
from kybern.cluster.oci import Layer, write_archive, write_layer
from kybern.process.daemon import OperatorError

BUSYBOX = "docker.io/library/busybox:1.35"
KYBERN = "kybern.local/kybern:0.1"

_SKIP = {
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "distutils", "pydoc_data",
    "site-packages",
}  # fmt: skip
_HOST_ONLY = {"rich"}
"""Distributions that only the commands on the host use; they and what only they require stay out of the image."""
_TOOLS = ("etcd", "nft", "conntrack", "ip", "haproxy")
"""What runs in pods of a cluster made by `init`, where it is installed here."""
_NEEDLESS = re.compile(r"^(config-\d.*|RECORD|_tkinter.*|.*\.(a|exe|pyi|pyx|pxd|h|c|cpp))$")
_OTHER_SCHEMAS = re.compile(r"kubernetes-json-schema/(?!v1\.36\.0-local/_definitions)")


@dataclass
class Recipe:
    """How an image is made: layers as (stamp, maker), where the stamp changes whenever the content would."""

    layers: list[tuple[str, Callable[[], Layer]]]
    config: dict[str, object]


def archives(directory: Path, names: Collection[str] = ()) -> dict[str, Path]:
    """Name -> archive of every image, or of those named, building those that are missing or out of date.
    Raises OperatorError."""
    built = {name: _archive(directory, name, RECIPES[name]()) for name in names or RECIPES}
    _remove_stale_layers(directory / "layers")
    return built


def _archive(directory: Path, name: str, recipe: Recipe) -> Path:
    stem = re.sub(r"[^a-z0-9.]+", "-", name)
    target = directory / f"{stem}.{_stamp([stamp for stamp, _ in recipe.layers], recipe.config)}.tar"
    if not target.exists():
        (directory / "layers").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            layers = [
                write_layer(partial(_stripped, make, Path(scratch)), directory / "layers", stamp)
                for stamp, make in recipe.layers
            ]
        write_archive(target, [name], layers, recipe.config)
        for old in set(directory.glob(f"{stem}.*.tar")) - {target}:
            old.unlink()
    return target


def _remove_stale_layers(directory: Path) -> None:
    stamps = {stamp for recipe in RECIPES.values() for stamp, _ in recipe().layers}
    for path in directory.glob("*.tar"):
        if path.name.partition(".")[0] not in stamps:
            path.unlink()


def _program(name: str, package: str) -> Path:
    found = shutil.which(name)
    if not found:
        raise OperatorError(f"{name} is not installed; run `apt-get install {package}` (or `make install`)")
    return Path(found).resolve()


def _stamp(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:12]


def _file_stamp(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return str(path), found.st_size, int(found.st_mtime)


def _base() -> Layer:
    """What every root file system has: users, and a /tmp anyone may write to."""
    return Layer(
        texts={
            "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
            "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
            "etc/nsswitch.conf": b"hosts: files dns\n",
        },
        directories={"tmp": 0o1777, "root": 0o700, "proc": 0o555, "sys": 0o555, "dev": 0o755, "etc": 0o755},
    )


def _pause() -> Recipe:
    program = _program("catatonit", "catatonit")
    layer = Layer(files={"pause": program})
    return Recipe(
        [(_stamp(_file_stamp(program)), lambda: layer)], {"Entrypoint": ["/pause", "-P"], "User": "65535:65535"}
    )


def _busybox_layer() -> Layer:
    program = _program("busybox", "busybox-static")
    layer = _base()
    layer.files["bin/busybox"] = program
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    layer.links |= {f"bin/{applet}": "busybox" for applet in listed if applet != "busybox"}
    return layer


def _busybox() -> Recipe:
    env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    stamp = _stamp(_file_stamp(_program("busybox", "busybox-static")))
    return Recipe([(stamp, _busybox_layer)], {"Cmd": ["sh"], "Env": env})


def _kybern() -> Recipe:
    env = [
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "PYTHONHOME=/usr/local",
        "PYTHONDONTWRITEBYTECODE=1",
        "LD_LIBRARY_PATH=/usr/local/lib/shared",
    ]
    versions = [f"{name}=={importlib.metadata.version(name)}" for name in _distributions()]
    sources = [_file_stamp(path) for path in _files(_package_root()) if path.suffix == ".py"]
    python = _stamp(sys.version, versions, bool(shutil.which("strip")))
    layers = [
        *_busybox().layers,
        (python, _python_layer),
        (_stamp(python, [_file_stamp(path) for path in _tools()]), _tools_layer),
        (_stamp(sources), _package_layer),
    ]
    return Recipe(layers, {"Entrypoint": ["/usr/local/bin/python3", "-m", "kybern"], "Env": env})


RECIPES: dict[str, Callable[[], Recipe]] = {PAUSE: _pause, BUSYBOX: _busybox, KYBERN: _kybern}


def _package_root() -> Path:
    return Path(__file__).resolve().parents[1]


def _files(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in _SKIP and n[0] != "." and not _NEEDLESS.match(n))
        yield from (Path(directory, name) for name in sorted(files) if not _NEEDLESS.match(name))


def _tree(root: Path, at: str) -> dict[str, Path]:
    return {f"{at}/{path.relative_to(root)}": path for path in _files(root) if path.exists()}


def _python_layer() -> Layer:
    """The interpreter, its standard library, the packages kybern requires, and every shared library they load."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = Path(sys.executable).resolve()
    layer = Layer(files={f"usr/local/bin/{version}": interpreter}, links={"usr/local/bin/python3": version})
    for kind in ("stdlib", "platstdlib"):
        layer.files |= _tree(Path(sysconfig.get_path(kind, vars=_base_prefix())), f"usr/local/lib/{version}")
    site = f"usr/local/lib/{version}/site-packages"
    for name in _distributions():
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or []:
            source = Path(str(distribution.locate_file(file)))
            wanted = not str(file).startswith("..") and not {"tests", "test"} & set(file.parts) and source.is_file()
            if wanted and not _NEEDLESS.match(source.name) and not _OTHER_SCHEMAS.search(str(file)):
                layer.files[f"{site}/{file}"] = source
    objects = [path for path in layer.files.values() if _is_shared_object(path)]
    layer.files |= _shared_libraries([interpreter, *objects])
    return layer


def _is_shared_object(path: Path) -> bool:
    return path.suffix == ".so" or ".so." in path.name


def _stripped(make: Callable[[], Layer], scratch: Path) -> Layer:
    """A layer with its shared objects free of debugging symbols, which are half of it; as it is without binutils."""
    layer, strip = make(), shutil.which("strip")
    if strip:
        for number, (path, source) in enumerate(layer.files.items()):
            # What auditwheel bundled (NAME.libs) was patched in a way that stripping breaks.
            if _is_shared_object(source) and ".libs/" not in path:
                smaller = scratch / f"{number}-{source.name}"
                command = [strip, "--strip-unneeded", "-o", str(smaller), str(source)]
                if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                    layer.files[path] = smaller
    return layer


def _base_prefix() -> dict[str, str]:
    """sysconfig variables of the interpreter a virtual environment stands on."""
    return dict.fromkeys(("base", "installed_base", "platbase", "installed_platbase"), sys.base_prefix)


def _tools() -> list[Path]:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return [Path(found) for name in _TOOLS if (found := shutil.which(name, path=path))]


def _tools_layer() -> Layer:
    """The tools, and the libraries that Python has not brought already."""
    programs = _tools()
    libraries = _shared_libraries([path.resolve() for path in programs])
    there = _python_layer().files
    layer = Layer(files={path: source for path, source in libraries.items() if path not in there})
    layer.files |= {f"usr/local/bin/{path.name}": path.resolve() for path in programs}
    return layer


def _package_layer() -> Layer:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Layer(files=_tree(_package_root(), f"usr/local/lib/{version}/site-packages/kybern"))


def _distributions() -> list[str]:
    """kybern's required distributions, and theirs, without extras or itself."""
    found: dict[str, None] = {}
    queue = ["kybern"]
    while queue:
        for line in importlib.metadata.requires(queue.pop()) or []:
            match = re.match(r"^([A-Za-z0-9._-]+)", line)
            name = re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""
            if not name or name in {*found, *_HOST_ONLY} or "extra ==" in line or not _installed(name):
                continue
            found[name] = None
            queue.append(name)
    return sorted(found)


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _shared_libraries(objects: list[Path]) -> dict[str, Path]:
    """What ldd says these objects load; the loader itself keeps its absolute path."""
    found: dict[str, Path] = {}
    for start in range(0, len(objects), 100):
        batch = [str(path) for path in objects[start : start + 100]]
        text = subprocess.run(["ldd", *batch], capture_output=True, text=True, check=False).stdout
        for name, target in re.findall(r"^\s+(\S+) => (/\S+) \(", text, re.M):
            if "site-packages" not in target:
                found[f"usr/local/lib/shared/{name}"] = Path(target).resolve()
        for target in re.findall(r"^\s+(/\S*ld-\S+) \(", text, re.M):
            found[target.lstrip("/")] = Path(target).resolve()
    return found
