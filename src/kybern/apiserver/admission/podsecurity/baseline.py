"""The checks of the level baseline, by the version that brought them.

Source: Kubernetes documentation, "Pod Security Standards": Baseline.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from kybern.api.types import Object
from kybern.apiserver.admission.podsecurity.violation import (
    Check,
    Violation,
    containers,
    containers_of,
    context,
    number_of,
    quoted,
    setters,
)

_CAPABILITIES = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
))  # fmt: skip
_SELINUX = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))
_SYSCTLS = frozenset((
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
))  # fmt: skip
_SYSCTLS_27 = _SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_29 = _SYSCTLS_27 | {
    f"net.ipv4.tcp_{name}" for name in ("keepalive_time", "fin_timeout", "keepalive_intvl", "keepalive_probes")
}
_SYSCTLS_32 = _SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
PROFILES = ("Localhost", "RuntimeDefault")
"""Types of profiles, of seccomp and of AppArmor, that are as good as the default."""


def app_armor_profile(metadata: Object, spec: Object) -> Violation | None:
    bad, names, values = False, [], set()
    if context(spec, "appArmorProfile") is not None and (kind := _type(spec, "appArmorProfile")) not in PROFILES:
        bad = True
        values.add(kind)
    for container in containers_of(spec):
        if context(container, "appArmorProfile") is None:
            continue
        if (kind := _type(container, "appArmorProfile")) not in PROFILES:
            names.append(container["name"])
            values.add(kind)
    annotations = sorted(
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in (metadata.get("annotations") or {}).items()
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    who = [setters(bad, names)] * bool(bad or names) + [number_of(annotations, "annotation")] * bool(annotations)
    if not who:
        return None
    shown = [*sorted(values), *annotations]
    reason = f"forbidden AppArmor {number_of(shown, 'profile')}"
    return Violation(reason, f"{' and '.join(who)} must not set AppArmor profile type to {quoted(shown)}")


def _type(holder: Object, profile: str) -> str:
    return str(context(holder, profile, "type") or "")


def capabilities(metadata: Object, spec: Object) -> Violation | None:
    names, added = [], set()
    for container in containers_of(spec):
        more = set(context(container, "capabilities", "add") or ()) - _CAPABILITIES
        if more:
            names.append(container["name"])
            added |= more
    if not names:
        return None
    detail = f"{containers(names)} must not include {quoted(sorted(added))} in securityContext.capabilities.add"
    return Violation("non-default capabilities", detail)


def host_namespaces(metadata: Object, spec: Object) -> Violation | None:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def host_path_volumes(metadata: Object, spec: Object) -> Violation | None:
    names = [volume["name"] for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    return Violation("hostPath volumes", f"{number_of(names, 'volume')} {quoted(names)}") if names else None


def host_ports(metadata: Object, spec: Object) -> Violation | None:
    names, taken = [], set()
    for container in containers_of(spec):
        ports = {str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")}
        if ports:
            names.append(container["name"])
            taken |= ports
    if not names:
        return None
    uses = f"{number_of(names, 'uses', 'use')} {number_of(taken, 'hostPort')} {', '.join(sorted(taken))}"
    return Violation("hostPort", f"{containers(names)} {uses}")


def host_probes(metadata: Object, spec: Object) -> Violation | None:
    """Probes and hooks ask the pod itself."""
    names, hosts = set(), set()
    for container in containers_of(spec):
        lifecycle = container.get("lifecycle") or {}
        handlers = [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
        handlers += [lifecycle.get("postStart"), lifecycle.get("preStop")]
        asked = {
            action["host"]
            for handler in handlers
            if handler
            for action in (handler.get("httpGet"), handler.get("tcpSocket"))
            if action and action.get("host")
        }
        if asked:
            names.add(container["name"])
            hosts |= asked
    if not names:
        return None
    what = "probe or lifecycle host"
    uses = f"{number_of(names, 'uses', 'use')} {number_of(hosts, what)} {quoted(sorted(hosts))}"
    return Violation(what, f"{containers(sorted(names))} {uses}")


def privileged(metadata: Object, spec: Object) -> Violation | None:
    names = [one["name"] for one in containers_of(spec) if context(one, "privileged")]
    if not names:
        return None
    return Violation("privileged", f"{containers(names)} must not set securityContext.privileged=true")


def proc_mount(metadata: Object, spec: Object) -> Violation | None:
    names, kinds = [], set()
    for container in containers_of(spec):
        kind = context(container, "procMount")
        if kind is not None and kind != "Default":
            names.append(container["name"])
            kinds.add(kind)
    if not names:
        return None
    return Violation(
        "procMount", f"{containers(names)} must not set securityContext.procMount to {quoted(sorted(kinds))}"
    )


def outside_user_namespaces(check: Check) -> Check:
    """The check, for pods that share the node's users."""

    def checked(metadata: Object, spec: Object) -> Violation | None:
        return None if spec.get("hostUsers") is False else check(metadata, spec)

    return checked


def _selinux(types: Collection[str]) -> Check:
    def checked(metadata: Object, spec: Object) -> Violation | None:
        bad: list[bool] = []
        wrong, said = set(), set()
        names = []
        for holder in (spec, *containers_of(spec)):
            options = context(holder, "seLinuxOptions") or {}
            kind = options.get("type") or ""
            found = {f"{field} may not be set" for field in ("user", "role") if options.get(field)}
            if kind not in types:
                wrong.add(kind)
            elif not found:
                continue
            said |= found
            if holder is spec:
                bad.append(True)
            else:
                names.append(holder["name"])
        if not (bad or names):
            return None
        parts = [f"{number_of(wrong, 'type')} {quoted(sorted(wrong))}"] * bool(wrong) + sorted(said, reverse=True)
        detail = f"{setters(bool(bad), names)} set forbidden securityContext.seLinuxOptions: {'; '.join(parts)}"
        return Violation("seLinuxOptions", detail)

    return checked


selinux_options = _selinux(_SELINUX)
selinux_options_31 = _selinux(_SELINUX | {"container_engine_t"})


def seccomp_annotations(metadata: Object, spec: Object) -> Violation | None:
    annotations = metadata.get("annotations") or {}
    keys = {_SECCOMP_POD, *(f"{_SECCOMP_CONTAINER}{one['name']}" for one in containers_of(spec))}
    bad = sorted(
        f"{key}={json.dumps(annotations[key], ensure_ascii=False)}"
        for key in keys
        if key in annotations
        and annotations[key] not in ("runtime/default", "docker/default")
        and not annotations[key].startswith("localhost/")
    )
    return Violation("seccompProfile", f"forbidden {number_of(bad, 'annotation')} {', '.join(bad)}") if bad else None


def seccomp_profile(metadata: Object, spec: Object) -> Violation | None:
    bad, names, values = False, [], set()
    for holder in (spec, *containers_of(spec)):
        if context(holder, "seccompProfile") is None or (kind := _type(holder, "seccompProfile")) in PROFILES:
            continue
        values.add(kind)
        if holder is spec:
            bad = True
        else:
            names.append(holder["name"])
    if not (bad or names):
        return None
    detail = f"{setters(bad, names)} must not set securityContext.seccompProfile.type to {quoted(sorted(values))}"
    return Violation("seccompProfile", detail)


def _sysctls(allowed: Collection[str]) -> Check:
    def checked(metadata: Object, spec: Object) -> Violation | None:
        bad = [one["name"] for one in context(spec, "sysctls") or () if one["name"] not in allowed]
        return Violation("forbidden sysctls", ", ".join(bad)) if bad else None

    return checked


sysctls = _sysctls(_SYSCTLS)
sysctls_27, sysctls_29, sysctls_32 = _sysctls(_SYSCTLS_27), _sysctls(_SYSCTLS_29), _sysctls(_SYSCTLS_32)


def windows_host_process(metadata: Object, spec: Object) -> Violation | None:
    names = [one["name"] for one in containers_of(spec) if context(one, "windowsOptions", "hostProcess")]
    who = setters(bool(context(spec, "windowsOptions", "hostProcess")), names)
    return (
        Violation("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true") if who else None
    )
