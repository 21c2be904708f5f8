"""The values of flags and of a KubeletConfiguration: how each is written, and a Config made of all of them.

Settings are kept by name of the Config's field; what is not said is not there, and the Config's default counts.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kybern.api import quantity
from kybern.api.types import Object
from kybern.kubelet import machine
from kybern.kubelet.config import Config
from kybern.kubelet.paths import Paths
from kybern.process.daemon import OperatorError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

# Each parser raises ValueError with a message that says what would be right.


def boolean(text: str | bool) -> bool:
    """`true`, `false`."""
    if str(text).lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return str(text).lower() == "true"


def seconds(text: str | int) -> float:
    """A Go duration: `10s`, `1m30s`, `0`."""
    if str(text) == "0":
        return 0.0
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)", str(text))
    if not parts or "".join(number + unit for number, unit in parts) != str(text):
        raise ValueError(f"{text!r} is no duration such as 10s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def words(text: str | list[str]) -> tuple[str, ...]:
    """A list, or its items with commas between."""
    items = text.split(",") if isinstance(text, str) else text
    return tuple(item.strip() for item in items if item.strip())


def pairs(text: str | dict[str, str]) -> dict[str, str]:
    """`a=1,b=2`, or a mapping."""
    if isinstance(text, dict):
        return {name: str(value) for name, value in text.items()}
    found = {}
    for item in words(text):
        name, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"{item!r} is not of the form key=value")
        found[name.strip()] = value.strip()
    return found


def switches(given: dict[str, bool]) -> dict[str, bool]:
    """A mapping to `true` or `false`."""
    return {name: boolean(value) for name, value in dict(given).items()}


def headers(text: str) -> dict[str, str]:
    """`Name:value`, with commas between."""
    return {name.strip(): value.strip() for name, _, value in (item.partition(":") for item in words(text))}


def quantities(text: str | dict[str, str]) -> dict[str, str]:
    """`cpu=100m,memory=1Gi`, or a mapping."""
    found = pairs(text)
    for value in found.values():
        quantity.parse(value)
    return found


def taints(text: str | list[Object]) -> list[Object]:
    """`key=value:NoSchedule,other:NoExecute`, or a list of taints."""
    if not isinstance(text, str):
        return text
    found = []
    for item in words(text):
        pair, _, effect = item.rpartition(":")
        key, _, value = pair.partition("=")
        if not key or effect not in _EFFECTS:
            raise ValueError(f"{item!r} is not of the form key=value:effect with one of {', '.join(_EFFECTS)}")
        found.append({"key": key, **({"value": value} if value else {}), "effect": effect})
    return found


def cloud(text: str) -> str:
    """`external`, or nothing."""
    if text not in ("", "external"):
        raise ValueError(f"{text!r} is not external: clouds are the cloud controller manager's")
    return text


def eviction(text: str | dict[str, str]) -> dict[str, Any]:
    """`memory.available<100Mi,nodefs.available<10%`, or a mapping; gives the settings that follow from it."""
    entries = text if isinstance(text, dict) else pairs(text.replace("<", "="))
    found: dict[str, Any] = {}
    for signal, value in entries.items():
        if signal == "memory.available":
            quantity.parse(value)
            found["eviction_memory"] = value
        elif signal == "nodefs.available":
            if not re.fullmatch(r"\d+(\.\d+)?%", value):
                raise ValueError(f"nodefs.available must be a percentage, not {value!r}")
            found["eviction_disk"] = float(value.removesuffix("%")) / 100
        else:
            raise ValueError(f"{signal!r} is not watched; memory.available and nodefs.available are")
    return found


def to_config(settings: dict[str, Any]) -> Config:
    """The Config of these settings. Raises OperatorError for what this machine or kubelet can't do."""
    settings = dict(settings)
    _check(settings)
    hostname = settings.pop("hostname_override", "") or socket.gethostname().lower()
    root = Path(settings.pop("root_dir", "") or "/var/lib/kubelet")
    pod_logs = Path(settings.pop("pod_log_dir", "") or "/var/log/pods")
    if settings.pop("fail_swap_on", True) and (areas := machine.swaps()):
        raise OperatorError(
            f"swap is on ({', '.join(areas)}); turn it off with swapoff, or say --fail-swap-on=false"
        )
    if settings.pop("cgroup_driver", "cgroupfs") != "cgroupfs":
        raise OperatorError("only the cgroup driver cgroupfs is supported; say --cgroup-driver=cgroupfs")
    if settings.pop("read_only_port", 0):
        raise OperatorError("there is no read-only port; say --read-only-port=0 and use the secure one")
    if "cni_conf_dir" in settings:
        settings["cni_conf_dir"] = Path(settings["cni_conf_dir"])
    settings["cert_dir"] = Path(settings.get("cert_dir") or root / "pki")
    settings["external_cloud"] = settings.pop("cloud_provider", "") == "external"
    settings["node_ips_given"] = bool(settings.get("node_ips"))
    if not settings.get("node_ips"):
        settings["node_ips"] = _addresses(hostname, alone=not settings.get("kubeconfig"))
    # Absolute, as the runtime works in another directory.
    paths = Paths(root.absolute(), pod_logs.absolute(), pod_logs.absolute().parent / "containers")
    return Config(node_name=hostname, hostname=hostname, paths=paths, **settings)


def _check(settings: dict[str, Any]) -> None:
    for name in ("port", "healthz_port"):
        if not 0 <= settings.get(name, 0) <= 65535:
            raise OperatorError(f"--{name.replace('_', '-')}={settings[name]} is not a port: a number up to 65535")
    flags = {"node_ips": "node-ip", "cluster_dns": "cluster-dns"}
    for name, flag in flags.items():
        for address in settings.get(name, ()):
            _parsed(flag, address, ipaddress.ip_address)
    if settings.get("pod_cidr"):
        _parsed("pod-cidr", settings["pod_cidr"], ipaddress.ip_network)
    for cidr in settings.get("non_masquerade_cidrs", ()):
        _parsed("non-masquerade-cidr", cidr, ipaddress.ip_network)
    endpoint = settings.get("runtime_endpoint", "unix:///")
    if not endpoint.startswith(("unix:///", "/")):
        said = f"--container-runtime-endpoint={endpoint} is not a socket"
        raise OperatorError(f"{said}; write it like unix:///run/containerd/containerd.sock")


def _parsed(flag: str, text: str, parse: Callable[[str], object]) -> None:
    try:
        parse(text)
    except ValueError as error:
        raise OperatorError(f"--{flag}: {error}") from error


def _addresses(hostname: str, *, alone: bool) -> tuple[str, ...]:
    """The address that the default route uses, else the hostname's. Raises OperatorError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Connecting a datagram socket sends nothing: it only asks the routing table for the source address.
            probe.connect(("198.51.100.1", 9))
            return (str(probe.getsockname()[0]),)
        except OSError:
            pass
    try:
        found = str(socket.gethostbyname(hostname))
    except OSError:
        found = ""
    if found and not found.startswith("127."):
        return (found,)
    if alone:
        return ("127.0.0.1",)
    raise OperatorError("this machine has no default route and its name no address; say --node-ip")
