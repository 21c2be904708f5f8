"""Where pods are in the cgroup tree: /kubepods for guaranteed ones, /kubepods/burstable and /kubepods/besteffort for
the others, a group per pod. Works on cgroup v1, v2 and v1 with v2 beside it; without write access it does nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from kybern.api import quantity
from kybern.api.core.qos import qos_class
from kybern.api.types import Object
from kybern.kubelet import resources

ROOT = Path("/sys/fs/cgroup")


def parent(cgroup_root: str, pod: Object) -> str:
    """The pod's group, as the runtime wants it: `/kubepods/burstable/pod<uid>`."""
    qos = qos_class(pod)
    tier = "" if qos == "Guaranteed" else f"/{qos.lower()}"
    return f"{cgroup_root.rstrip('/')}/kubepods{tier}/pod{pod['metadata']['uid']}"


def is_v2(root: Path = ROOT) -> bool:
    """Whether cgroup v2 is the only hierarchy."""
    return (root / "cgroup.controllers").exists()


def hierarchies(root: Path = ROOT) -> list[Path]:
    """Every hierarchy a pod's group may be in."""
    if is_v2(root):
        return [root]
    return [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()] if root.is_dir() else []


def _write(path: Path, value: str) -> None:
    with contextlib.suppress(OSError):
        path.write_text(value)


def _weight(shares: int) -> int:
    """cgroup v2's cpu.weight of v1's shares: [2, 262144] onto [1, 10000]."""
    return 1 + (shares - 2) * 9999 // 262142


def ensure(cgroup_root: str, pod: Object) -> None:
    """Make the pod's group with the sum of its containers' shares and limits."""
    relative = parent(cgroup_root, pod).lstrip("/")
    shares = resources.shares(resources.total(pod, "cpu"))
    containers = pod["spec"].get("containers") or []
    cpu = [quantity.milli(resources.limits(c).get("cpu", 0)) for c in containers]
    memory = [quantity.whole(resources.limits(c).get("memory", 0)) for c in containers]
    quota = resources.quota(sum(cpu)) if all(cpu) else 0
    limit = sum(memory) if all(memory) else 0
    if is_v2():
        group = _make_v2(relative)
        _write(group / "cpu.weight", str(_weight(shares)))
        _write(group / "cpu.max", f"{quota} {resources.PERIOD}" if quota else "max")
        _write(group / "memory.max", str(limit or "max"))
        return
    for controller in ("cpu", "cpu,cpuacct"):
        if (ROOT / controller).is_dir() and not (ROOT / controller).is_symlink():
            group = ROOT / controller / relative
            with contextlib.suppress(OSError):
                group.mkdir(parents=True, exist_ok=True)
            _write(group / "cpu.shares", str(shares))
            if quota:
                _write(group / "cpu.cfs_quota_us", str(quota))
    if limit and (ROOT / "memory").is_dir():
        group = ROOT / "memory" / relative
        with contextlib.suppress(OSError):
            group.mkdir(parents=True, exist_ok=True)
        _write(group / "memory.limit_in_bytes", str(limit))


def _make_v2(relative: str) -> Path:
    """Make a v2 group with every controller handed down to it."""
    group = ROOT
    for part in relative.split("/"):
        with contextlib.suppress(OSError):
            controllers = (group / "cgroup.controllers").read_text().split()
            _write(group / "cgroup.subtree_control", " ".join(f"+{name}" for name in controllers))
        group = group / part
        with contextlib.suppress(OSError):
            group.mkdir(exist_ok=True)
    return group


def remove(cgroup_root: str, uid: str) -> None:
    """Remove the group of a pod that is gone, in every hierarchy and whatever its quality of service was."""
    base = f"{cgroup_root.strip('/')}/kubepods".lstrip("/")
    for hierarchy in hierarchies():
        for tier in ("", "burstable", "besteffort"):
            top = hierarchy / base / tier / f"pod{uid}"
            if top.is_dir():
                for at, _, _ in os.walk(top, topdown=False):
                    with contextlib.suppress(OSError):
                        os.rmdir(at)


def remove_empty_tiers(cgroup_root: str) -> None:
    """Remove the kubepods groups themselves where nothing is in them any more."""
    base = f"{cgroup_root.strip('/')}/kubepods".lstrip("/")
    for hierarchy in hierarchies():
        for tier in ("burstable", "besteffort", ""):
            with contextlib.suppress(OSError):
                (hierarchy / base / tier).rmdir()
