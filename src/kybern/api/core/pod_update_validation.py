"""What may change in a pod once it is made: by a plain update, and through each of its subresources.

Source: API reference, Pod v1; KEP-3521 and KEP-3838 (gates), KEP-277 (ephemeral containers), KEP-1287 and KEP-5419
(resize).
"""

from __future__ import annotations

from typing import Any

from kybern.api import addresses, meta, names
from kybern.api.cells import at
from kybern.api.core.pod_devices_validation import validate_devices
from kybern.api.core.podspec_checks import MAX_INT32, follows, within
from kybern.api.core.podspec_validation import MIRROR
from kybern.api.core.qos import qos_class
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.api.validation import IMMUTABLE
from kybern.process import features

_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_RESIZABLE = ("cpu", "memory")
_CONTAINERS = ("containers", "initContainers")
_ONLY_COMPUTE = "only cpu and memory resources{} are mutable"


def validate_pod_update(obj: Object, old: Object, errors: Errors) -> None:
    """A plain update; the spec by itself has been validated."""
    _annotations(obj, old, errors)
    spec, before = obj["spec"], old["spec"]
    if spec == before:
        return
    for field in _CONTAINERS:
        if len(spec.get(field) or ()) != len(before.get(field) or ()):
            errors.forbidden(f"spec.{field}", "pod updates may not add or remove containers")
            return
    if not _deadline(spec, before, errors):
        return
    _only_more_tolerations(spec, before, errors)
    _only_fewer_gates(spec, before, errors)
    compared = _with_old_mutable_fields(spec, before)
    if before.get("schedulingGates"):
        _gated(compared, before, errors)
    if not meta.same(compared, before):
        errors.forbidden("spec", _MUTABLE)


def validate_pod_status_update(obj: Object, old: Object, errors: Errors) -> None:
    """A write through `status`."""
    _annotations(obj, old, errors)
    status, before = obj.get("status") or {}, old.get("status") or {}
    for index, condition in enumerate(status.get("conditions") or ()):
        _generation(condition, f"status.conditions[{index}]", errors)
        if condition.get("type") not in _SYSTEM_CONDITIONS:
            # The capital is upstream's.
            path = f"status.conditions[{index}].Type"
            follows(names.qualified_name, condition.get("type") or "", path, errors)
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        follows(names.dns_subdomain, nominated, "status.nominatedNodeName", errors)
        if old["spec"].get("nodeName") and features.enabled("ClearingNominatedNodeNameAfterBinding"):
            detail = "may not be set on pods that are already bound to a node"
            errors.forbidden("status.nominatedNodeName", detail)
    _generation(status, "status", errors)
    # One left out is filled in from the old status, not unset.
    if status.get("qosClass") and status["qosClass"] != before.get("qosClass"):
        errors.invalid("status.qosClass", status["qosClass"], IMMUTABLE)
    _transitions(status, before, old["spec"], errors)
    if status.get("resourceClaimStatuses"):
        _claim_statuses(status["resourceClaimStatuses"], obj["spec"], errors)
    for field in ("podIPs", "hostIPs"):
        if status.get(field) and status[field] != before.get(field):
            _addresses(status, before, field, errors)
    _users(status, obj["spec"], errors)
    validate_devices(status, obj["spec"], errors)


def validate_ephemeral_containers_update(obj: Object, old: Object, errors: Errors) -> None:
    """A write through `ephemeralcontainers`: they are only ever added."""
    if _is_mirror(old):
        errors.forbidden("", "static pods do not support ephemeral containers")
        return
    _annotations(obj, old, errors)
    path = "spec.ephemeralContainers"
    found = {container.get("name"): container for container in obj["spec"].get("ephemeralContainers") or ()}
    for container in old["spec"].get("ephemeralContainers") or ():
        name = container.get("name")
        if name not in found:
            errors.forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n')
        elif not meta.same(found[name], container):
            errors.forbidden(path, f'existing ephemeral containers "{name}" may not be changed\n')


def validate_pod_resize(obj: Object, old: Object, errors: Errors) -> None:
    """A write through `resize`: cpu and memory of containers, sidecars and the pod as a whole."""
    spec, before = obj["spec"], old["spec"]
    if _is_mirror(old):
        errors.forbidden("", "static pods cannot be resized")
        return
    if at(before, "os", "name") == "windows":
        errors.forbidden("", "windows pods cannot be resized")
        return
    had = at(old, "status", "qosClass") or qos_class(old)
    if qos_class(obj) != had:
        errors.invalid("spec", had, "Pod QOS Class may not change as a result of resizing")
    running = [c for c in at(old, "status", "containerStatuses") or () if at(c, "state", "running") is not None]
    if running and running[0].get("resources") is None:
        errors.forbidden("spec", "Pod running on node without support for resize")
    if not _same_containers(spec, before, errors):
        return
    count = len(errors)
    compared = dict(spec)
    _pod_level(spec, before, compared, errors)
    for field in _CONTAINERS:
        if spec.get(field):
            compared[field] = _resized_containers(spec, before, field, errors)
    if len(errors) == count and not meta.same(compared, before):
        errors.forbidden("spec", _ONLY_COMPUTE.format(""))


def _is_mirror(pod: Object) -> bool:
    return MIRROR in (pod["metadata"].get("annotations") or ())


def _annotations(obj: Object, old: Object, errors: Errors) -> None:
    """What marks a pod as a mirror, and its AppArmor profiles, are for ever."""
    new, before = obj["metadata"].get("annotations") or {}, old["metadata"].get("annotations") or {}
    if new == before:
        return
    for key in {**before, **new}:
        kind = "mirror pod annotation" if key == MIRROR else "AppArmor annotations"
        if (key == MIRROR or key.startswith(_APP_ARMOR)) and new.get(key) != before.get(key):
            change = "remove or update" if key in before else "add"
            errors.forbidden(f"metadata.annotations[{key}]", f"may not {change} {kind}")


def _deadline(spec: Object, before: Object, errors: Errors) -> bool:
    """activeDeadlineSeconds may be set or lowered. Tells whether it is worth looking further."""
    field, path = "activeDeadlineSeconds", "spec.activeDeadlineSeconds"
    new, old = spec.get(field), before.get(field)
    if new is None:
        if old is not None:
            errors.invalid(path, None, "must not update from a positive integer to nil value")
        return True
    count = len(errors)
    within(new, 0, MAX_INT32, path, errors)
    if len(errors) == count and old is not None and new > old:
        errors.invalid(path, new, "must be less than or equal to previous value")
    return len(errors) == count


def _only_more_tolerations(spec: Object, before: Object, errors: Errors) -> None:
    new = [_without_seconds(toleration) for toleration in spec.get("tolerations") or ()]
    for toleration in before.get("tolerations") or ():
        if not any(meta.same(_without_seconds(toleration), other) for other in new):
            detail = "existing toleration can not be modified except its tolerationSeconds"
            errors.forbidden("spec.tolerations", detail)
            return


def _without_seconds(toleration: Object) -> Object:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _only_fewer_gates(spec: Object, before: Object, errors: Errors) -> None:
    had = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        if gate.get("name") not in had:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            errors.forbidden(f"spec.schedulingGates[{index}].name", detail)


def _with_old_mutable_fields(spec: Object, before: Object) -> Object:
    """The new spec with everything that may change put back."""
    result = {**spec}
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        result[field] = before.get(field)
    for field in _CONTAINERS:
        pairs = zip(spec.get(field) or (), before.get(field) or (), strict=True)
        result[field] = [{**container, "image": other.get("image")} for container, other in pairs]
    if (before.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        result["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    return result


def _gated(compared: Object, before: Object, errors: Errors) -> None:
    """A pod with gates may still be told more about its node; what is checked here is put back in `compared`."""
    wanted, had = compared.get("nodeSelector") or {}, before.get("nodeSelector") or {}
    if any(wanted.get(key) != value for key, value in had.items()):
        detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.invalid("spec.nodeSelector", wanted, detail)
    compared["nodeSelector"] = had
    new, old = at(compared, "affinity", "nodeAffinity"), at(before, "affinity", "nodeAffinity")
    if not meta.same(new, old):
        terms, kept = (at(affinity, _REQUIRED, "nodeSelectorTerms") or [] for affinity in (new, old))
        _gated_terms(terms, kept, errors)
        compared["affinity"] = {**(compared.get("affinity") or {}), "nodeAffinity": old}


def _gated_terms(new: list[Object], old: list[Object], errors: Errors) -> None:
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    if not old:
        return
    if len(new) != len(old):
        errors.invalid(path, new, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        return
    for index, (term, had) in enumerate(zip(new, old, strict=True)):
        if not _only_adds(term, had):
            errors.invalid(f"{path}[{index}]", term, "only additions are allowed (no mutations or deletions)")


def _only_adds(term: Object, had: Object) -> bool:
    fields = ("matchExpressions", "matchFields")
    if not any(had.get(field) for field in fields):
        # An empty term matches nothing, so any requirement would make it match more.
        return not any(term.get(field) for field in fields)
    return all(meta.same((term.get(field) or [])[: len(had.get(field) or ())], had.get(field)) for field in fields)


def _transitions(status: Object, before: Object, spec: Object, errors: Errors) -> None:
    """What has ended for good stays so."""
    policy = spec.get("restartPolicy") or ""
    fields: dict[str, list[Object]] = {"ephemeralContainerStatuses": []}
    if not _all_may_restart(spec):
        fields = {f"{kind[:-1]}Statuses": spec.get(kind) or [] for kind in _CONTAINERS} | fields
    for field, containers in fields.items():
        now = {one.get("name"): one for one in status.get(field) or ()}
        by_name = {container.get("name"): container for container in containers}
        for index, one in enumerate(before.get(field) or ()):
            ended, name = at(one, "state", "terminated"), one.get("name")
            if ended is None:
                continue
            if name in by_name and _may_restart(by_name[name], policy, ended.get("exitCode") or 0):
                continue
            if name in now and at(now[name], "state", "terminated") is None:
                errors.forbidden(f"status.{field}[{index}].state", "may not be transitioned to non-terminated state")


def _all_may_restart(spec: Object) -> bool:
    """Whether some container's end restarts all of them (KEP-5532)."""
    return any(
        rule.get("action") == "RestartAllContainers"
        for field in _CONTAINERS
        for container in spec.get(field) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


def _may_restart(container: Object, pod_policy: str, code: int) -> bool:
    for rule in container.get("restartPolicyRules") or ():
        codes = rule.get("exitCodes") or {}
        if (code in (codes.get("values") or ())) == (codes.get("operator") == "In"):
            return True
    policy = container.get("restartPolicy") or pod_policy
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def _claim_statuses(statuses: list[Object], spec: Object, errors: Errors) -> None:
    known = {claim.get("name") for claim in spec.get("resourceClaims") or ()}
    seen: set[Any] = set()
    for index, status in enumerate(statuses):
        name, path = status.get("name") or "", f"status.resourceClaimStatuses[{index}].name"
        if name not in known:
            errors.invalid(path, name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            errors.duplicate(path, name)
        seen.add(name)
        if status.get("resourceClaimName") is not None:
            follows(names.dns_subdomain, status["resourceClaimName"], path, errors)


def _generation(holder: Object, path: str, errors: Errors) -> None:
    if (holder.get("observedGeneration") or 0) < 0:
        generation = holder["observedGeneration"]
        errors.invalid(f"{path}.observedGeneration", generation, "must be a non-negative integer")


def _addresses(status: Object, before: Object, field: str, errors: Errors) -> None:
    """podIPs or hostIPs: at most one of each family."""
    ips = [entry.get("ip") or "" for entry in status[field]]
    if field == "hostIPs" and status.get("hostIP") != ips[0]:
        errors.invalid("status.hostIPs[0].ip", ips[0], "must be equal to `hostIP`")
    count, kept = len(errors), [entry.get("ip") or "" for entry in before.get(field) or ()]
    for index, ip in enumerate(ips):
        addresses.check_ip(ip, f"status.{field}[{index}]", errors, kept)
    if len(errors) == count and len(ips) > 1:
        families = {found.version for ip in ips if (found := addresses.address(ip))}
        if len(families) < 2 or len(ips) > 2:
            detail = "may specify no more than one IP for each IP family"
            errors.invalid(f"status.{field}", status[field], detail)


def _users(status: Object, spec: Object, errors: Errors) -> None:
    windows = at(spec, "os", "name") == "windows"
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for index, container in enumerate(status.get(field) or ()):
            user, path = at(container, "user", "linux"), f"status.{field}[{index}].user.linux"
            if user is None:
                continue
            if windows:
                errors.forbidden(path, "cannot be set for a windows pod")
                continue
            for key in ("uid", "gid"):
                within(user.get(key), 0, MAX_INT32, f"{path}.{key}", errors)
            for number, group in enumerate(user.get("supplementalGroups") or ()):
                within(group, 0, MAX_INT32, f"{path}.supplementalGroups[{number}]", errors)


def _same_containers(spec: Object, before: Object, errors: Errors) -> bool:
    count = len(errors)
    for field in _CONTAINERS:
        new, old = spec.get(field) or (), before.get(field) or ()
        if len(new) != len(old):
            errors.forbidden(f"spec.{field}", f"{field} may not be added or removed on resize")
            continue
        for index, (container, other) in enumerate(zip(new, old, strict=True)):
            if container.get("name") != other.get("name"):
                detail = f"{field} may not be renamed or reordered on resize"
                errors.forbidden(f"spec.{field}[{index}].name", detail)
    return len(errors) == count


def _resized_containers(spec: Object, before: Object, field: str, errors: Errors) -> list[Object]:
    """The containers with their old cpu and memory; complains of other changes."""
    result = []
    for index, (container, old) in enumerate(zip(spec[field], before[field], strict=True)):
        sidecar, path, detail = container.get("restartPolicy") == "Always", "spec", _ONLY_COMPUTE.format("")
        if field == "containers" or sidecar or features.enabled("InPlacePodVerticalScalingInitContainers"):
            _not_removed(container, old, f"spec.{field}[{index}].resources", "resource", errors)
            container = _with_old_compute(container, old)
            if field == "initContainers":
                path, detail = f"spec.{field}[{index}]", _ONLY_COMPUTE.format(" for init or sidecar containers")
        else:
            detail = "resources for non-sidecar init containers are immutable"
        if not meta.same(container, old):
            errors.forbidden(path, detail)
        result.append(container)
    return result


def _pod_level(spec: Object, before: Object, compared: Object, errors: Errors) -> None:
    """The amounts of the pod as a whole; `compared` gets those that must be the same."""
    new, old = spec.get("resources"), before.get("resources")
    if not any((one or {}).get(kind) for one in (new, old) for kind in ("requests", "limits")):
        return
    if old is not None and new is None:
        errors.forbidden("spec.resources", "pod-level resources cannot be removed")
        return
    _not_removed(spec, before, "spec.resources", "pod-level resource", errors)
    compared["resources"] = _with_old_compute(spec, before)["resources"]
    if not meta.same(compared["resources"], old):
        errors.forbidden("spec", _ONLY_COMPUTE.format("") + " at pod-level")


def _not_removed(holder: Object, old: Object, path: str, what: str, errors: Errors) -> None:
    for kind in ("requests", "limits"):
        had, now = at(old, "resources", kind) or {}, at(holder, "resources", kind) or {}
        if had.keys() - now.keys():
            errors.forbidden(f"{path}.{kind}", f"{what} {kind} cannot be removed")


def _with_old_compute(holder: Object, old: Object) -> Object:
    """A container or a pod's spec with the cpu and memory it had."""
    resources = {**(holder.get("resources") or {})}
    for kind in ("requests", "limits"):
        had = at(old, "resources", kind) or {}
        kept = {name: amount for name, amount in (resources.get(kind) or {}).items() if name not in _RESIZABLE}
        resources[kind] = {**kept, **{name: had[name] for name in _RESIZABLE if name in had}}
    return {**holder, "resources": resources}
