"""The node's CNI configuration, from its pod CIDR: a routed interface per pod (ptp), addresses from host-local, host
ports by portmap. Routed pods need neither a bridge nor its netfilter switch, and leave nothing behind when they go.

Source: CNI specification 1.0, section 1; the reference plugins' own pages.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import orjson

from kybern.api.types import Object

FILE = "10-kybern.conflist"


def conflist(cidrs: Sequence[str], data_dir: Path, mtu: int = 0) -> Object:
    """The plugins in order. `data_dir` is where host-local notes the addresses in use; `mtu`, in bytes, is that of the
    pods' interfaces, 0 for the kernel's default."""
    routes = ["::/0" if ":" in cidr else "0.0.0.0/0" for cidr in cidrs]
    ipam = {
        "type": "host-local",
        "dataDir": str(data_dir),
        "ranges": [[{"subnet": cidr}] for cidr in cidrs],
        "routes": [{"dst": route} for route in routes],
    }
    return {
        "cniVersion": "1.0.0",
        "name": "kybern",
        "plugins": [
            {"type": "ptp", "ipMasq": False, **({"mtu": mtu} if mtu else {}), "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


def write(directory: Path, cidrs: Sequence[str], data_dir: Path, mtu: int = 0) -> bool:
    """Write the configuration in one step; False if it was there already. Raises OSError."""
    target = directory / FILE
    text = orjson.dumps(conflist(cidrs, data_dir, mtu), option=orjson.OPT_INDENT_2) + b"\n"
    if target.exists() and target.read_bytes() == text:
        return False
    directory.mkdir(parents=True, exist_ok=True)
    # The runtime watches the directory: a name it doesn't read until the file is whole.
    scratch = directory / f".{FILE}.new"
    scratch.write_bytes(text)
    os.replace(scratch, target)
    return True
