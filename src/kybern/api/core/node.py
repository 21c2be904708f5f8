"""Node, v1. Source: API reference, Node v1 core."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from kybern.api.cells import at, text
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource, Subresource
from kybern.api.types import Object

ROLE_PREFIX = "node-role.kubernetes.io/"
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def _status(obj: Object) -> str:
    ready = [c.get("status") for c in at(obj, "status", "conditions") or [] if c.get("type") == "Ready"]
    words = [("Ready" if ready[0] == "True" else "NotReady") if ready else "Unknown"]
    if at(obj, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def roles(obj: Object) -> list[str]:
    """The node's roles, from its labels, sorted."""
    found = set()
    for label, value in (obj["metadata"].get("labels") or {}).items():
        if label.startswith(ROLE_PREFIX) and len(label) > len(ROLE_PREFIX):
            found.add(label.removeprefix(ROLE_PREFIX))
        elif label == "kubernetes.io/role" and value:
            found.add(value)
    return sorted(found)


def _address(kind: str) -> Callable[[Object], str]:
    def cell(obj: Object) -> str:
        addresses = at(obj, "status", "addresses") or []
        return next((str(a.get("address")) for a in addresses if a.get("type") == kind), "<none>")

    return cell


def _info(name: str) -> Callable[[Object], str]:
    return text("status", "nodeInfo", name, default="<unknown>")


class Node(Resource):
    kind, plural = "Node", "nodes"
    short_names = ("no",)
    namespaced = False
    has_status = True
    status_at_creation = True
    has_generation = False
    storage_prefix = "minions"
    subresources = (
        Subresource("proxy", "NodeProxyOptions", verbs=("create", "delete", "get", "patch", "update")),
    )
    columns = (
        Column("Status", "string", _status, "The status of the node"),
        Column("Roles", "string", lambda o: ",".join(roles(o)) or "<none>", "The roles of the node"),
        AGE,
        Column("Version", "string", text("status", "nodeInfo", "kubeletVersion"), "Kubelet version"),
        Column("Internal-IP", "string", _address("InternalIP"), "", 1),
        Column("External-IP", "string", _address("ExternalIP"), "", 1),
        Column("OS-Image", "string", _info("osImage"), "", 1),
        Column("Kernel-Version", "string", _info("kernelVersion"), "", 1),
        Column("Container-Runtime", "string", _info("containerRuntimeVersion"), "", 1),
    )
    selectable_fields = ("spec.unschedulable",)

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {"spec.unschedulable": "true" if at(obj, "spec", "unschedulable") else "false"}

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        status = obj.setdefault("status", {})
        if "allocatable" not in status and status.get("capacity"):
            status["allocatable"] = dict(status["capacity"])

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["spec"].pop("configSource", None)

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj.get("spec") or {}
        _check_taints(spec.get("taints") or [], errors)
        for index, cidr in enumerate(spec.get("podCIDRs") or []):
            if not _is_cidr(cidr):
                errors.invalid(
                    f"spec.podCIDRs[{index}]", cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
                )
        seen: set[tuple[str, str]] = set()
        for index, address in enumerate(at(obj, "status", "addresses") or []):
            identity = (address.get("type", ""), address.get("address", ""))
            if identity in seen:
                errors.duplicate(f"status.addresses[{index}]", address)
            seen.add(identity)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        for name in ("podCIDR", "providerID"):
            before, after = at(old, "spec", name), at(obj, "spec", name)
            if before and before != after:
                said = "node updates may only change labels, taints, or capacity"
                errors.forbidden(f"spec.{name}", said)


def _check_taints(taints: list[Object], errors: Errors) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path = f"spec.taints[{index}]"
        if not taint.get("key"):
            errors.required(f"{path}.key")
        effect = taint.get("effect")
        if not effect:
            errors.required(f"{path}.effect")
        elif effect not in TAINT_EFFECTS:
            errors.unsupported(f"{path}.effect", effect, TAINT_EFFECTS)
        identity = (taint.get("key", ""), effect or "")
        if identity in seen:
            errors.duplicate(path, taint)
        seen.add(identity)


def _is_cidr(value: str) -> bool:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return False
    return "/" in value
