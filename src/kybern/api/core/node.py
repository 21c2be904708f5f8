"""Node, v1. Source: API reference, Node v1 core."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import orjson

from kybern.api import addresses, names
from kybern.api.cells import at, text
from kybern.api.core import resource_names
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource, Subresource
from kybern.api.types import Object

ROLE_PREFIX = "node-role.kubernetes.io/"
_FEATURE, _FEATURE_LENGTH = re.compile("[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*"), 253
_FEATURE_RULE = (
    "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or "
    "MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)
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


def _kernel(obj: Object) -> str:
    """`6.1.0 (amd64)`."""
    version, architecture = (at(obj, "status", "nodeInfo", name) for name in ("kernelVersion", "architecture"))
    return f"{version or '<unknown>'} ({architecture})" if architecture else version or "<unknown>"


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
        Column("Kernel-Version", "string", _kernel, "", 1),
        Column("Container-Runtime", "string", _info("containerRuntimeVersion"), "", 1),
    )
    selectable_fields = ("spec.unschedulable",)

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {"spec.unschedulable": "true" if at(obj, "spec", "unschedulable") else "false"}

    def default(self, obj: Object) -> None:
        spec, status = obj.setdefault("spec", {}), obj.setdefault("status", {})
        if "allocatable" not in status and status.get("capacity"):
            status["allocatable"] = dict(status["capacity"])
        first, several = spec.get("podCIDR"), spec.get("podCIDRs") or []
        if first and (not several or several[0] != first):
            spec["podCIDRs"] = [first]
        elif several:
            spec["podCIDR"] = several[0]

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        _warn(obj, prep)
        obj["spec"].pop("configSource", None)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if prep.subresource != "status":
            _warn(obj, prep)
        if at(old, "spec", "configSource") is None:
            obj["spec"].pop("configSource", None)

    def validate(self, obj: Object, errors: Errors) -> None:
        _check_taints(obj["spec"].get("taints") or [], errors)
        _check_amounts(obj, errors)
        swap = at(obj, "status", "nodeInfo", "swap", "capacity")
        if swap is not None and swap <= 0:
            # The odd path is upstream's.
            errors.invalid("metadata.nodeSwapStatus.capacity", swap, "must be greater than zero")
        _check_features(at(obj, "status", "declaredFeatures") or [], errors)
        cidrs, path = obj["spec"].get("podCIDRs") or [], "spec.podCIDRs"
        for index, cidr in enumerate(cidrs):
            addresses.check_cidr(cidr, f"{path}[{index}]", errors)
        if len(cidrs) > 1:
            families = [found.version for cidr in cidrs if (found := addresses.network(cidr))]
            if sorted(families) != [4, 6]:
                errors.invalid(path, cidrs, "may specify no more than one CIDR for each IP family")
            for index, cidr in enumerate(cidrs):
                if cidr in cidrs[:index]:
                    errors.duplicate(f"{path}[{index}]", cidr)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        self.validate(obj, errors)
        found = Errors()
        self.validate_status(obj, old, found)
        errors += [error for error in found if error not in errors]

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        _check_amounts(obj, errors)
        _check_features(at(obj, "status", "declaredFeatures") or [], errors)
        _check_addresses(at(obj, "status", "addresses") or [], errors)
        for name, detail in _SET_ONCE.items():
            before, after = at(old, "spec", name), at(obj, "spec", name)
            if before and before != after:
                errors.forbidden(f"spec.{name}", detail)
        _check_taints(at(obj, "spec", "taints") or [], errors)
        if (at(obj, "spec", "externalID") or "") != (at(old, "spec", "externalID") or ""):
            errors.forbidden("spec.externalID", "may not be updated")


_SET_ONCE = {
    "podCIDRs": 'node updates may not change podCIDR except from "" to valid',
    "providerID": 'node updates may not change providerID except from "" to valid',
}


def _warn(obj: Object, prep: Preparation) -> None:
    spec = obj["spec"]
    if spec.get("configSource") is not None:
        prep.warnings.append("spec.configSource: the feature is removed")
    if spec.get("externalID"):
        prep.warnings.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    for index, cidr in enumerate(spec.get("podCIDRs") or []):
        prep.warnings += addresses.cidr_warnings(cidr, f"spec.podCIDRs[{index}]")


def _check_amounts(obj: Object, errors: Errors) -> None:
    for key in ("capacity", "allocatable"):
        for name, value in (at(obj, "status", key) or {}).items():
            resource_names.check_amount(name, value, f"status.{key}.{name}", errors)


def _check_features(given: list[str], errors: Errors) -> None:
    """Names of what the node's kubelet can do, sorted (KEP-5328)."""
    for index, name in enumerate(given):
        path, shown = f"status.declaredFeatures[{index}]", orjson.dumps(name).decode()
        if index and name == given[index - 1]:
            errors.duplicate(path, name)
        elif index and name < given[index - 1]:
            errors.invalid(path, name, "list must be sorted alphabetically")
        if len(name) > _FEATURE_LENGTH:
            detail = f"must be no more than {_FEATURE_LENGTH} characters"
            errors.invalid(path, name, f"invalid feature name {shown}: {detail}")
        elif not _FEATURE.fullmatch(name):
            errors.invalid(path, name, f"invalid feature name {shown}: {_FEATURE_RULE}")


def _check_addresses(given: list[Object], errors: Errors) -> None:
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(given):
        identity = (address.get("type", ""), address.get("address", ""))
        if identity in seen:
            errors.duplicate(f"status.addresses[{index}]", {"Type": identity[0], "Address": identity[1]})
        seen.add(identity)


def _check_taints(taints: list[Object], errors: Errors) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path = f"metadata.taints[{index}]"
        key, value, effect = (taint.get(name) or "" for name in ("key", "value", "effect"))
        for problem in names.qualified_name(key):
            errors.invalid(f"{path}.key", key, problem)
        if problems := names.label_value(value):
            errors.invalid(f"{path}.value", value, ";".join(problems))
        if not effect:
            errors.required(f"{path}.effect")
        elif effect not in TAINT_EFFECTS:
            errors.unsupported(f"{path}.effect", effect, TAINT_EFFECTS, ordered=True)
        if (key, effect) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            errors.duplicate(path, shown, "taints must be unique by key and effect pair")
        seen.add((key, effect))
