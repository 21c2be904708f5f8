"""A node's status as the kubelet sees it: a pure function from configuration, machine and health.

Source: "Node Status" and "Reserve Compute Resources for System Daemons"; reasons and messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kybern.api import quantity
from kybern.api.types import Object
from kybern.kubelet.config import VERSION, Config
from kybern.kubelet.machine import Machine, Usage
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.process.clock import format_time

MAX_IMAGES, MAX_IMAGE_NAMES = 50, 5
_EVENTS = {
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen of the node just now."""

    now: float
    machine: Machine
    usage: Usage
    not_ready: tuple[str, ...] = ()
    """Why the node isn't ready; empty if it is."""
    runtime: str = ""
    """`containerd://1.7.0`."""
    images: list[Object] = field(default_factory=list)


def labels(config: Config, machine: Machine) -> dict[str, str]:
    """The labels a node is registered with: upstream's own, and those of --node-labels."""
    own = {f"{prefix}kubernetes.io/arch": machine.architecture for prefix in ("", "beta.")}
    own |= {f"{prefix}kubernetes.io/os": "linux" for prefix in ("", "beta.")}
    return {**own, "kubernetes.io/hostname": config.hostname, **config.node_labels}


def capacity(config: Config, machine: Machine, usage: Usage) -> dict[str, str]:
    """All there is."""
    return {
        "cpu": str(machine.cpus),
        "ephemeral-storage": quantity.from_bytes(usage.disk_size),
        **{name: quantity.from_bytes(size) for name, size in machine.hugepages.items()},
        "memory": quantity.from_bytes(machine.memory),
        "pods": str(config.max_pods),
    }


def allocatable(config: Config, machine: Machine, usage: Usage) -> dict[str, str]:
    """What pods may have: capacity less reservations and eviction thresholds."""

    def reserved(name: str) -> int:
        """In thousandths."""
        return sum(quantity.milli(part.get(name, "0")) for part in (config.system_reserved, config.kube_reserved))

    def left(size: int, name: str, threshold: int) -> int:
        return max(size - reserved(name) // 1000 - threshold, 0)

    # Memory set aside for huge pages is nobody else's.
    memory = machine.memory - sum(machine.hugepages.values())
    disk_threshold = int(usage.disk_size * config.eviction_disk)
    return {
        **capacity(config, machine, usage),
        "cpu": quantity.from_milli(max(machine.cpus * 1000 - reserved("cpu"), 0)),
        "ephemeral-storage": str(left(usage.disk_size, "ephemeral-storage", disk_threshold)),
        "memory": quantity.from_bytes(left(memory, "memory", quantity.whole(config.eviction_memory))),
    }


def addresses(config: Config, previous: Object) -> list[Object]:
    """InternalIP of each family, and the hostname. An external cloud has the last word on them, and the first one
    unless the operator said what it will be."""
    if config.external_cloud and (previous.get("addresses") or not config.node_ips_given):
        return list(previous.get("addresses") or ())
    return [
        *({"type": "InternalIP", "address": ip} for ip in config.node_ips),
        {"type": "Hostname", "address": config.hostname},
    ]


def conditions(config: Config, facts: Facts, previous: Iterable[Object]) -> list[Object]:
    """The kubelet's conditions, with the times of their transitions, then those that others set."""
    usage = facts.usage
    fresh = [
        _judge(
            "MemoryPressure",
            usage.memory_available < quantity.whole(config.eviction_memory),
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ),
        _judge(
            "DiskPressure",
            usage.disk_available < usage.disk_size * config.eviction_disk,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        # Upstream has no threshold for process ids by default, and there is no flag for one here.
        _judge("PIDPressure", False, ("", ""), ("KubeletHasSufficientPID", "kubelet has sufficient PID available")),
        _judge(
            "Ready",
            not facts.not_ready,
            ("KubeletReady", "kubelet is posting ready status"),
            ("KubeletNotReady", _together(facts.not_ready)),
        ),
    ]
    known = {condition["type"]: condition for condition in previous}
    now = format_time(facts.now)
    for condition in fresh:
        old = known.pop(condition["type"], None)
        same = old is not None and old["status"] == condition["status"]
        condition["lastHeartbeatTime"] = now
        condition["lastTransitionTime"] = old["lastTransitionTime"] if old is not None and same else now
    return [*fresh, *known.values()]


def _judge(type_: str, true: bool, if_true: tuple[str, str], if_false: tuple[str, str]) -> Object:
    reason, message = if_true if true else if_false
    return {"type": type_, "status": "True" if true else "False", "reason": reason, "message": message}


def _together(errors: Sequence[str]) -> str:
    """Several errors in one line, as Go's aggregates print."""
    return errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"


def build(config: Config, facts: Facts, previous: Object) -> Object:
    """The whole status. `previous` is what the API has; resources and conditions of others in it are kept."""
    machine = facts.machine
    listed = addresses(config, previous)
    return {
        **({"addresses": listed} if listed else {}),
        "allocatable": {
            **_foreign(previous, "allocatable"), **allocatable(config, machine, facts.usage)
        },
        "capacity": {**_foreign(previous, "capacity"), **capacity(config, machine, facts.usage)},
        "conditions": conditions(config, facts, previous.get("conditions") or []),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": config.port}},
        "images": facts.images,
        "nodeInfo": {
            "architecture": machine.architecture,
            "bootID": machine.boot_id,
            "containerRuntimeVersion": facts.runtime,
            "kernelVersion": machine.kernel,
            "kubeProxyVersion": "",
            "kubeletVersion": VERSION,
            "machineID": machine.machine_id,
            "operatingSystem": "linux",
            "osImage": machine.os_image,
            "systemUUID": machine.system_uuid,
        },
    }


def _foreign(status: Object, name: str) -> Object:
    """Resources that somebody else advertises on the node; they have a domain in their names."""
    return {resource: amount for resource, amount in (status.get(name) or {}).items() if "/" in resource}


def images(found: Iterable[cri.Image]) -> list[Object]:
    """The largest images, for the scheduler's ImageLocality."""
    ordered = sorted(found, key=lambda image: (-image.size, image.id))
    named = [(image, [*image.repo_digests, *image.repo_tags][:MAX_IMAGE_NAMES]) for image in ordered]
    return [{"names": names, "sizeBytes": image.size} for image, names in named if names][:MAX_IMAGES]


def difference(before: Object, after: Object) -> Object:
    """The strategic merge patch between two statuses, heartbeats included. Addresses would merge by type, which a
    node has several of: they are replaced."""
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    if "addresses" in changed and before.get("addresses"):
        changed["addresses"] = [*after["addresses"], {"$patch": "replace"}]
    return changed


def differs(before: Object, after: Object) -> bool:
    """Whether anything changed but the heartbeats."""
    return _still(before) != _still(after)


def _still(status: Object) -> Object:
    plain = [{**condition, "lastHeartbeatTime": None} for condition in status.get("conditions") or []]
    return {**status, "conditions": plain}


def transitions(before: Iterable[Object], after: Iterable[Object]) -> list[str]:
    """The reasons of the events that tell of changed conditions."""
    known = {condition["type"]: condition["status"] for condition in before}
    changed = [c for c in after if known.get(c["type"]) != c["status"]]
    return [_EVENTS[c["type"], c["status"]] for c in changed if (c["type"], c["status"]) in _EVENTS]
