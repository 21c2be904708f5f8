"""The way to the API servers where there are several: HAProxy on the machine's address of the bridge.

It passes bytes on, so TLS and client certificates are between client and API server; a server that isn't ready gets
nothing. Source: HAProxy's configuration manual.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from kybern.cluster.layout import Layout, write_private
from kybern.cluster.topology import Topology
from kybern.process.daemon import OperatorError


def write(layout: Layout, topology: Topology, port: int) -> None:
    """Write the configuration: every control plane, in their order."""
    servers = "".join(f"    server {m.name} {m.ip}:{port} check\n" for m in topology.control_planes)
    text = f"""defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 2s
    option redispatch

frontend api
    bind {topology.gateway}:{port}
    default_backend servers

backend servers
    balance leastconn
    option httpchk GET /readyz
    default-server check-ssl verify none inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}"""
    write_private(_path(layout), text.encode())


def program() -> str:
    """Where HAProxy is. Raises OperatorError."""
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if not haproxy:
        raise OperatorError("haproxy is not installed; run `apt-get install haproxy` (or `make install`)")
    return haproxy


def command(layout: Layout) -> tuple[str, ...]:
    """Raises OperatorError."""
    return (program(), "-db", "-q", "-f", str(_path(layout)))


def stamp(layout: Layout) -> str:
    """Changes with the configuration."""
    return hashlib.sha256(_path(layout).read_bytes()).hexdigest()[:12]


def _path(layout: Layout) -> Path:
    return layout.root / "balancer.cfg"
