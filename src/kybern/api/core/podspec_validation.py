"""Rules of a pod spec as a whole; its parts are in the *_validation modules beside this one.

Source: API reference, PodSpec v1; the messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from kybern.api import addresses, meta, names, validation
from kybern.api.core import capabilities
from kybern.api.core.containers_validation import check_image_padding, validate_containers
from kybern.api.core.podspec_checks import MAX_INT32, Surroundings, follows, required, within
from kybern.api.core.resources_validation import validate_overhead, validate_pod_resources
from kybern.api.core.scheduling_validation import (
    validate_affinity,
    validate_gates,
    validate_tolerations,
    validate_topology_spread,
)
from kybern.api.core.security_validation import validate_pod_context
from kybern.api.core.volumes_validation import validate_volumes
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.process import features

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
MIRROR = "kubernetes.io/config.mirror"
_PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
_NAMESERVERS, _SEARCHES, _SEARCH_LENGTH = 3, 32, 2048
_HOSTNAME_LENGTH = 64
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_NOT_ON_WINDOWS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
_NOT_IN_WINDOWS_CONTAINERS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip
_WINDOWS = "cannot be set for a windows pod"


def validate_pod_spec(spec: Object, path: str, errors: Errors, *, metadata: Object | None = None) -> None:
    """Validate a (defaulted) PodSpec at `path`; `metadata` is its pod's, None in a template."""
    if metadata is not None and metadata.get("annotations"):
        validate_pod_annotations(metadata["annotations"], spec, "metadata.annotations", errors)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        errors.required(f"{path}.terminationGracePeriodSeconds")
    claims, system = spec.get("resourceClaims") or (), (spec.get("os") or {}).get("name") or ""
    volumes = validate_volumes(spec.get("volumes") or [], f"{path}.volumes", errors, metadata)
    if claims:
        _resource_claims(spec["resourceClaims"], f"{path}.resourceClaims", errors, metadata)
    around = Surroundings(
        volumes, frozenset(claim["name"] for claim in claims if claim.get("name")), grace,
        spec.get("restartPolicy") or "", spec.get("hostUsers") is not False, system, metadata is not None,
    )  # fmt: skip
    validate_containers(spec, path, errors, around)
    if spec.get("resources"):
        validate_pod_resources(spec, path, errors)
    if spec.get("hostNetwork"):
        _host_network(spec, path, errors, around)
    validation.one_of(spec.get("restartPolicy"), RESTART_POLICIES, f"{path}.restartPolicy", errors)
    validation.one_of(spec.get("dnsPolicy"), DNS_POLICIES, f"{path}.dnsPolicy", errors)
    if spec.get("securityContext"):
        validate_pod_context(spec["securityContext"], spec, f"{path}.securityContext", errors)
    for field, rule in _RULES.items():
        value = spec.get(field)
        if value is not None:
            rule(value, f"{path}.{field}", errors)
    _between_fields(spec, path, errors)
    _file_volumes(spec, path, errors, around)
    if metadata is not None:
        _only_pods(spec, path, errors, metadata)


def validate_pod_annotations(annotations: Object, spec: Object, path: str, errors: Errors) -> None:
    """The annotations of a pod or template that mean something to the cluster."""
    if MIRROR in annotations and not spec.get("nodeName"):
        detail = "must set spec.nodeName if mirror pod annotation is set"
        errors.invalid(f"{path}[{MIRROR}]", annotations[MIRROR], detail)
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not _is_int32(cost):
        errors.invalid(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer")
    for key, value in annotations.items():
        if key.startswith(_APP_ARMOR):
            name = key.removeprefix(_APP_ARMOR)
            if all(container.get("name") != name for container, _ in _all_containers(spec, "")):
                errors.invalid(f"{path}[{key}]", name, "container not found")
            if value not in ("", "runtime/default", "unconfined") and not value.startswith("localhost/"):
                errors.invalid(f"{path}[{key}]", value, f'invalid AppArmor profile name: "{value}"')


def _is_int32(text: str) -> bool:
    """In the plain form only: no `+`, no zeros in front."""
    try:
        return str(int(text)) == text and -MAX_INT32 - 1 <= int(text) <= MAX_INT32
    except ValueError:
        return False


def _all_containers(spec: Object, path: str) -> Iterator[tuple[Object, str]]:
    """Every container with its path."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield container, f"{path}.{field}[{index}]"


def _resource_claims(claims: list[Object], path: str, errors: Errors, metadata: Object | None) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        if MIRROR in ((metadata or {}).get("annotations") or ()):
            errors.forbidden("", "static pods do not support resource claims")
            continue
        here, name = f"{path}[{index}]", claim.get("name")
        if name in seen:
            errors.duplicate(f"{here}.name", name)
        else:
            required(names.dns_label, name, f"{here}.name", errors)
            seen.add(name or "")
        given = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(key) is not None]
        if len(given) > 1:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.invalid(here, claim, detail)
        elif not given:
            errors.invalid(here, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")
        for key in given:
            follows(names.dns_subdomain, claim[key], f"{here}.{key}", errors)


def _host_network(spec: Object, path: str, errors: Errors, around: Surroundings) -> None:
    """Ports are the host's own; a template may leave them out, for its pods get them by default."""
    for index, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort") or 0
            if (around.is_pod or host) and host != port.get("containerPort"):
                here = f"{path}.containers[{index}].ports[{number}].hostPort"
                errors.invalid(here, host, "must match `containerPort` when `hostNetwork` is true")


def _dns_config(config: Object, path: str, errors: Errors) -> None:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _NAMESERVERS:
        errors.invalid(f"{path}.nameservers", servers, f"must not have more than {_NAMESERVERS} nameservers")
    for index, server in enumerate(servers):
        addresses.check_ip(server, f"{path}.nameservers[{index}]", errors)
    if len(searches) > _SEARCHES:
        errors.invalid(f"{path}.searches", searches, f"must not have more than {_SEARCHES} search paths")
    if len(" ".join(searches)) > _SEARCH_LENGTH:
        detail = f"must not have more than {_SEARCH_LENGTH} characters (including spaces) in the search list"
        errors.invalid(f"{path}.searches", searches, detail)
    for index, search in enumerate(searches):
        if search != ".":
            follows(_search_path, search.removesuffix("."), f"{path}.searches[{index}]", errors)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            errors.required(f"{path}.options[{index}]", "must not be empty")


def _search_path(search: str) -> list[str]:
    """A subdomain whose labels may also hold underscores, though not at their end."""
    if any(label.endswith("_") or label.startswith("__") for label in search.split(".")):
        plain = "_"
    else:
        plain = search.replace("_", "a")
    text = "lower case alphanumeric characters, '_', '-' or '.', and"
    return [p.replace("lower case alphanumeric characters, '-' or '.', and", text) for p in names.dns_subdomain(plain)]


def _readiness_gates(gates: list[Object], path: str, errors: Errors) -> None:
    for index, gate in enumerate(gates):
        follows(names.qualified_name, gate.get("conditionType") or "", f"{path}[{index}].conditionType", errors)


def _host_aliases(aliases: list[Object], path: str, errors: Errors) -> None:
    for index, alias in enumerate(aliases):
        addresses.check_ip(alias.get("ip") or "", f"{path}[{index}].ip", errors)
        for number, hostname in enumerate(alias.get("hostnames") or ()):
            follows(names.dns_subdomain, hostname, f"{path}[{index}].hostnames[{number}]", errors)


def _hostname_override(hostname: str, path: str, errors: Errors) -> None:
    if len(hostname.encode()) > _HOSTNAME_LENGTH:
        errors.too_long(path, _HOSTNAME_LENGTH)
    follows(names.dns_subdomain, hostname, path, errors)


def _active_deadline(seconds: int, path: str, errors: Errors) -> None:
    within(seconds, 1, MAX_INT32, path, errors)


def _preemption(policy: str, path: str, errors: Errors) -> None:
    validation.one_of(policy, _PREEMPTION_POLICIES, path, errors)


def _os(system: Object, path: str, errors: Errors) -> None:
    name = system.get("name")
    if not name:
        errors.required(f"{path}.name", "cannot be empty")
    elif name not in ("linux", "windows"):
        errors.unsupported(path, name, ("linux", "windows"))


def _scheduling_group(group: Object, path: str, errors: Errors) -> None:
    required(names.dns_subdomain, group.get("podGroupName"), f"{path}.podGroupName", errors)


def _named(rule: Callable[[str], list[str]]) -> Callable[[str, str, Errors], None]:
    """A check of a name that may be empty."""

    def check(value: str, path: str, errors: Errors) -> None:
        if value:
            follows(rule, value, path, errors)

    return check


def _runtime_class(name: str, path: str, errors: Errors) -> None:
    follows(names.dns_subdomain, name, path, errors)


# Fields with rules of their own, in the order upstream complains.
_RULES: dict[str, Callable[[Any, str, Errors], None]] = {
    "nodeSelector": meta.validate_labels,
    "affinity": validate_affinity,
    "dnsConfig": _dns_config,
    "readinessGates": _readiness_gates,
    "schedulingGates": validate_gates,
    "topologySpreadConstraints": validate_topology_spread,
    "hostnameOverride": _hostname_override,
    "serviceAccountName": _named(names.dns_subdomain),
    "nodeName": _named(names.dns_subdomain),
    "activeDeadlineSeconds": _active_deadline,
    "hostname": _named(names.dns_label),
    "subdomain": _named(names.dns_label),
    "tolerations": validate_tolerations,
    "hostAliases": _host_aliases,
    "priorityClassName": _named(names.dns_subdomain),
    "runtimeClassName": _runtime_class,
    "preemptionPolicy": _preemption,
    "overhead": validate_overhead,
    "os": _os,
    "schedulingGroup": _scheduling_group,
}


def _between_fields(spec: Object, path: str, errors: Errors) -> None:
    """Fields that don't go together."""
    if spec.get("dnsPolicy") == "None":
        config = spec.get("dnsConfig")
        if config is None:
            errors.required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.required(f"{path}.dnsConfig.nameservers", detail)
    if spec.get("hostUsers") is False:
        _user_namespace(spec, path, errors)
    if spec.get("hostnameOverride") is not None:
        for field in ("setHostnameAsFQDN", "hostNetwork"):
            if spec.get(field):
                errors.forbidden(f"{path}.hostnameOverride", f"may not be specified when {field} is true")
    system = (spec.get("os") or {}).get("name")
    if system == "linux":
        for holder, here in ((spec, path), *_all_containers(spec, path)):
            if (holder.get("securityContext") or {}).get("windowsOptions") is not None:
                detail = "windows options cannot be set for a linux pod"
                errors.forbidden(f"{here}.securityContext.windowsOptions", detail)
    elif system == "windows":
        _windows(spec, path, errors)
    if "windowsOptions" in (spec.get("securityContext") or ()) or any(
        "windowsOptions" in (container.get("securityContext") or ()) for container, _ in _all_containers(spec, path)
    ):
        _host_process(spec, path, errors)


def _user_namespace(spec: Object, path: str, errors: Errors) -> None:
    detail = "when `hostUsers` is false"
    # The capitals are upstream's.
    for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(field) and not (field == "hostNetwork" and features.enabled("UserNamespacesHostNetworkSupport")):
            errors.forbidden(f"{path}.{shown}", detail)
    for container, here in _all_containers(spec, path):
        if container.get("volumeDevices"):
            errors.forbidden(f"{here}.volumeDevices", detail)


def _windows(spec: Object, path: str, errors: Errors) -> None:
    context = spec.get("securityContext") or {}
    for field in _NOT_ON_WINDOWS:
        if context.get(field) is not None:
            errors.forbidden(f"{path}.securityContext.{field}", _WINDOWS)
    for field in ("hostUsers", "shareProcessNamespace"):
        if spec.get(field) is not None:
            errors.forbidden(f"{path}.{field}", _WINDOWS)
    for field in ("hostPID", "hostIPC"):
        if spec.get(field):
            errors.forbidden(f"{path}.{field}", _WINDOWS)
    for container, here in _all_containers(spec, path):
        for field in _NOT_IN_WINDOWS_CONTAINERS:
            if (container.get("securityContext") or {}).get(field) is not None:
                errors.forbidden(f"{here}.securityContext.{field}", _WINDOWS)


def _host_process(spec: Object, path: str, errors: Errors) -> None:
    """Windows pods run on the host as a whole or not at all."""
    of_pod = _runs_on_host(spec)
    found = []
    for container, here in _all_containers(spec, path):
        own = _runs_on_host(container)
        if None not in (own, of_pod) and own != of_pod:
            word = "true" if of_pod else "false"
            detail = f"pod hostProcess value must be identical if both are specified, was {word}"
            errors.invalid(f"{here}.securityContext.windowsOptions.hostProcess", own, detail)
        found.append(bool(of_pod if own is None else own))
    if any(found):
        if not all(found):
            detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
            errors.invalid(path, "", detail)
        if not spec.get("hostNetwork"):
            detail = "hostNetwork must be true if pod contains any hostProcess containers"
            errors.invalid(f"{path}.hostNetwork", False, detail)
        if not capabilities.allow_privileged:
            errors.forbidden(path, "hostProcess containers are disallowed by cluster policy")


def _runs_on_host(holder: Object) -> bool | None:
    result: bool | None = ((holder.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    return result


def _file_volumes(spec: Object, path: str, errors: Errors, around: Surroundings) -> None:
    """Variables may come from files in emptyDir volumes only."""
    for container, here in _all_containers(spec, path):
        for index, variable in enumerate(container.get("env") or ()):
            reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if reference is None:
                continue
            name, place = reference.get("volumeName") or "", f"{here}.env[{index}].valueFrom.fileKeyRef.volumeName"
            if name not in around.volumes:
                errors.not_found(place, name)
            elif around.volumes[name].get("emptyDir") is None:
                errors.invalid(place, name, "referenced volume must be of type emptyDir")


def _only_pods(spec: Object, path: str, errors: Errors, metadata: Object) -> None:
    """What templates may have and pods may not."""
    if not spec.get("serviceAccountName"):
        for index, volume in enumerate(spec.get("volumes") or ()):
            for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    here = f"{path}.volumes[{index}].projected.sources[{number}].serviceAccountToken"
                    errors.forbidden(here, "must not be specified when serviceAccountName is not set")
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            check_image_padding(container, f"{path}.{field}[{index}]", errors)
    # Only a pod that is not stored yet has no resource version.
    if metadata.get("resourceVersion"):
        return
    if spec.get("ephemeralContainers"):
        errors.forbidden(f"{path}.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.forbidden(f"{path}.nodeName", "cannot be set until all schedulingGates have been cleared")
