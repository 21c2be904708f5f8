"""Where everything of a cluster lives on the host: one directory, so that `down` can take it all away again."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kybern.process.daemon import OperatorError

CONTROL_PLANE, WORKER, HOME, JOINED = "control-plane", "worker", "home", "joined"
"""Roles among several nodes; HOME is the machine they all are on, JOINED one that `init` or `join` made a node."""

DEFAULT_DATA_DIR = "/var/lib/kybern"


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """The flag every cluster command has."""
    default = os.environ.get("KYBERN_DATA_DIR", DEFAULT_DATA_DIR)
    parser.add_argument("--data-dir", default=default, help="where the cluster's state lives (default: %(default)s)")


@dataclass(frozen=True)
class Settings:
    """What `up` decided; kept in settings.json so that the next `up` brings back the same cluster."""

    node_name: str
    node_ip: str
    secure_port: int = 6443
    kubelet_port: int = 10250
    dns_port: int = 10053
    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/12"
    dns_ip: str = "10.96.0.10"
    cluster_domain: str = "cluster.local"
    role: str = ""
    """Empty: this node is all there is; CONTROL_PLANE, WORKER: one of several, in namespaces of its own; HOME: none;
    JOINED: a machine on which only the kubelet is no pod."""
    server: str = ""
    """host:port at which the API is reached; empty: this node's own."""
    etcd: tuple[str, ...] = ()
    """Addresses of etcd's members, this node's among them if it is one; empty: SQLite."""
    group: str = ""
    """The control group of all of this node, without a slash before it."""
    taints: str = ""
    """Those the node registers with."""
    network_mode: str = "auto"
    """How pods of other nodes are reached: direct, vxlan or auto."""
    cloud_provider: str = ""
    """`external` where a cloud controller manager is to finish the node."""
    load_balancer_subnet: str = "10.89.1.0/24"
    """Addresses for Services of type LoadBalancer."""

    @property
    def endpoint(self) -> str:
        """host:port of the API."""
        return self.server or f"{self.node_ip}:{self.secure_port}"


@dataclass(frozen=True)
class Layout:
    """Paths below the data directory."""

    root: Path

    @classmethod
    def of(cls, args: argparse.Namespace) -> Layout:
        return cls(Path(args.data_dir).absolute())

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def manifests(self) -> Path:
        return self.root / "manifests"

    @property
    def containerd(self) -> Path:
        return self.root / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.kubeconfig("admin")

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of a component or of `admin`."""
        return self.root / "kubeconfig" / f"{user}.conf"

    def make(self) -> None:
        """Make the directories. Raises OperatorError where the disk or the permissions don't allow it."""
        try:
            for path in (self.pki, self.logs, self.run, self.images, self.manifests, self.containerd):
                path.mkdir(parents=True, exist_ok=True)
            for private in (self.root, self.pki, self.run):
                private.chmod(0o700)
        except OSError as error:
            raise OperatorError(
                f"can't make {error.filename}: {error.strerror}; free or choose another --data-dir"
            ) from error

    def read_settings(self) -> Settings | None:
        """What an earlier `up` decided, if there was one. Raises OperatorError for a damaged file."""
        path = self.root / "settings.json"
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text())
            if not isinstance(found, dict):
                raise ValueError("it holds no settings")
            return Settings(**{**found, "etcd": tuple(found.get("etcd", ()))})
        except (ValueError, TypeError) as error:
            raise OperatorError(
                f"{path} is damaged ({error}); `kybern down` clears this cluster away"
            ) from error

    def write_settings(self, settings: Settings) -> None:
        write_json(self.root / "settings.json", settings.__dict__)

    def exists(self) -> bool:
        """Whether an `up` has been here."""
        return (self.root / "settings.json").exists()


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file in one step; private to root."""
    write_private(path, json.dumps(content, indent=1).encode())


def write_private(path: Path, data: bytes) -> None:
    """Replace a file in one step, mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(scratch, path)
