"""Security contexts in the runtime's terms. Where pod and container both say something, the container wins.

Source: API reference, SecurityContext and PodSecurityContext.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kybern.api.types import Object
from kybern.kubelet.environment import ConfigError
from kybern.kubelet.runtime._generated import cri_pb2 as cri

_MASKED = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def effective(pod: Object, container: Object, field: str) -> Any:
    """A field that both contexts have; None if neither sets it."""
    own = (container.get("securityContext") or {}).get(field)
    return own if own is not None else (pod["spec"].get("securityContext") or {}).get(field)


def namespaces(pod: Object) -> cri.NamespaceOption:
    """Which namespaces the pod shares with the node."""
    spec = pod["spec"]
    pid = cri.NODE if spec.get("hostPID") else cri.POD if spec.get("shareProcessNamespace") else cri.CONTAINER
    return cri.NamespaceOption(
        network=cri.NODE if spec.get("hostNetwork") else cri.POD,
        pid=pid,
        ipc=cri.NODE if spec.get("hostIPC") else cri.POD,
    )


def share_processes(context: cri.LinuxContainerSecurityContext, target: str) -> None:
    """Have a container see the processes of another, by that one's id."""
    context.namespace_options.pid, context.namespace_options.target_id = cri.TARGET, target


def profile(value: Object | None, localhost_root: Path) -> cri.SecurityProfile:
    """A seccomp or AppArmor profile; none means unconfined."""
    match (value or {}).get("type"):
        case "RuntimeDefault":
            return cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault)
        case "Localhost":
            reference = str(localhost_root / (value or {}).get("localhostProfile", ""))
            return cri.SecurityProfile(profile_type=cri.SecurityProfile.Localhost, localhost_ref=reference)
    return cri.SecurityProfile(profile_type=cri.SecurityProfile.Unconfined)


def supplemental_groups(pod: Object) -> list[int]:
    context = pod["spec"].get("securityContext") or {}
    groups = list(context.get("supplementalGroups") or [])
    return [*([context["fsGroup"]] if context.get("fsGroup") is not None else []), *groups]


def is_privileged(container: Object) -> bool:
    return bool((container.get("securityContext") or {}).get("privileged"))


def sandbox_context(pod: Object, all_containers: list[Object], seccomp_root: Path) -> cri.LinuxSandboxSecurityContext:
    """For the sandbox itself: privileged if one of its containers is."""
    context = pod["spec"].get("securityContext") or {}
    result = cri.LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        privileged=any(map(is_privileged, all_containers)),
        supplemental_groups=supplemental_groups(pod),
        seccomp=cri.SecurityProfile(profile_type=cri.SecurityProfile.RuntimeDefault),
    )
    if context.get("runAsUser") is not None:
        result.run_as_user.value = context["runAsUser"]
        if context.get("runAsGroup") is not None:
            result.run_as_group.value = context["runAsGroup"]
    if context.get("seccompProfile"):
        result.seccomp.CopyFrom(profile(context["seccompProfile"], seccomp_root))
    return result


def container_context(
    pod: Object, container: Object, image: cri.Image | None, seccomp_root: Path, *, seccomp_default: bool = False
) -> cri.LinuxContainerSecurityContext:
    """Raises ConfigError if the container must not run as root but would. With `seccomp_default`, a container that
    says nothing of seccomp has the runtime's profile, else none."""
    own = container.get("securityContext") or {}
    _check_non_root(pod, container, image)
    unsaid = {"type": "RuntimeDefault"} if seccomp_default else None
    capabilities = own.get("capabilities") or {}
    result = cri.LinuxContainerSecurityContext(
        capabilities=cri.Capability(
            add_capabilities=capabilities.get("add") or [], drop_capabilities=capabilities.get("drop") or []
        ),
        privileged=is_privileged(container),
        namespace_options=namespaces(pod),
        readonly_rootfs=bool(own.get("readOnlyRootFilesystem")),
        supplemental_groups=supplemental_groups(pod),
        no_new_privs=own.get("allowPrivilegeEscalation") is False,
        seccomp=profile(effective(pod, container, "seccompProfile") or unsaid, seccomp_root),
    )
    if own.get("procMount", "Default") == "Default":
        result.masked_paths.extend(_MASKED)
        result.readonly_paths.extend(_READ_ONLY)
    if effective(pod, container, "appArmorProfile"):
        result.apparmor.CopyFrom(profile(effective(pod, container, "appArmorProfile"), Path()))
    user, group = effective(pod, container, "runAsUser"), effective(pod, container, "runAsGroup")
    if user is not None:
        result.run_as_user.value = user
    elif image and image.username:
        result.run_as_username = image.username
    elif image and image.HasField("uid"):
        result.run_as_user.value = image.uid.value
    if group is not None:
        result.run_as_group.value = group
        if user is None and not result.run_as_username and not result.HasField("run_as_user"):
            result.run_as_user.value = 0
    return result


def _check_non_root(pod: Object, container: Object, image: cri.Image | None) -> None:
    if not effective(pod, container, "runAsNonRoot"):
        return
    meta = pod["metadata"]
    where = f'(pod: "{meta["name"]}_{meta["namespace"]}({meta["uid"]})", container: {container["name"]})'
    user = effective(pod, container, "runAsUser")
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    if image and image.username:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    if image is None or not image.HasField("uid") or image.uid.value == 0:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
