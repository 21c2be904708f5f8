"""Rules of security contexts: of pods and of containers, with seccomp, AppArmor, sysctls and Windows options.

Source: API reference, PodSecurityContext v1, SecurityContext v1; "Using sysctls", "Configure RunAsUserName".
"""

from __future__ import annotations

import re

from kybern.api import names
from kybern.api.core import capabilities
from kybern.api.core.podspec_checks import MAX_INT32, Surroundings, descending, follows, known_if_set, within
from kybern.api.field import Errors
from kybern.api.types import Object

_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_PROC_MOUNTS = ("Default", "Unmasked")
_PROFILE_LENGTH = 4095
_SYSCTL_LENGTH = 253
_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL_TEXT = rf"^({_SEGMENT}[\./])*{_SEGMENT}$"
_SYSCTL = re.compile(_SYSCTL_TEXT)
_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "fs.mqueue.")
_NET_SYSCTL = "net."
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS_DOMAIN = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_USER_SIGNS = '"/\\:;|=,+*?<>@[]'
_GMSA_LENGTH = 64 * 1024
_DOMAIN_LENGTH = 256
_USER_LENGTH = 104


def validate_pod_context(context: Object, spec: Object, path: str, errors: Errors) -> None:
    """spec.securityContext."""
    for key in ("fsGroup", "runAsUser", "runAsGroup"):
        within(context.get(key), 0, MAX_INT32, f"{path}.{key}", errors)
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        within(group, 0, MAX_INT32, f"{path}.supplementalGroups[{index}]", errors)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.invalid(f"{path}.shareProcessNamespace", True, detail)
    if context.get("sysctls"):
        _sysctls(context["sysctls"], spec, f"{path}.sysctls", errors)
    policy = context.get("fsGroupChangePolicy")
    known_if_set(policy, ("Always", "OnRootMismatch"), f"{path}.fsGroupChangePolicy", errors)
    _profiles(context, path, errors)
    policy = context.get("supplementalGroupsPolicy")
    known_if_set(policy, ("Merge", "Strict"), f"{path}.supplementalGroupsPolicy", errors)
    policy = context.get("seLinuxChangePolicy")
    known_if_set(policy, ("MountOption", "Recursive"), f"{path}.seLinuxChangePolicy", errors)


def validate_container_context(context: Object, path: str, errors: Errors, around: Surroundings) -> None:
    """A container's securityContext."""
    within(context.get("runAsUser"), 0, MAX_INT32, f"{path}.runAsUser", errors)
    within(context.get("runAsGroup"), 0, MAX_INT32, f"{path}.runAsGroup", errors)
    if context.get("privileged") and not capabilities.allow_privileged:
        errors.forbidden(f"{path}.privileged", "disallowed by cluster policy")
    mount = context.get("procMount")
    if mount is not None:
        known_if_set(mount, _PROC_MOUNTS, f"{path}.procMount", errors)
        if mount == "Unmasked" and around.host_users:
            errors.invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    if context.get("allowPrivilegeEscalation") is False:
        without = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            errors.invalid(path, context, f"{without} `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            errors.invalid(path, context, f"{without} `capabilities.Add` CAP_SYS_ADMIN")
    _profiles(context, path, errors)


def _profiles(context: Object, path: str, errors: Errors) -> None:
    if context.get("seccompProfile") is not None:
        _seccomp(context["seccompProfile"], f"{path}.seccompProfile", errors)
    if context.get("windowsOptions") is not None:
        _windows_options(context["windowsOptions"], f"{path}.windowsOptions", errors)
    if context.get("appArmorProfile") is not None:
        _app_armor(context["appArmorProfile"], f"{path}.appArmorProfile", errors)


def _seccomp(profile: Object, path: str, errors: Errors) -> None:
    kind, local = profile.get("type"), profile.get("localhostProfile")
    if not kind:
        errors.required(f"{path}.type", "type is required when seccompProfile is set")
    known_if_set(kind or None, _PROFILE_TYPES, f"{path}.type", errors)
    if kind != "Localhost":
        if local is not None:
            errors.invalid(f"{path}.localhostProfile", profile, "can only be set when seccomp type is Localhost")
    elif local is None:
        errors.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
    else:
        descending(local, f"{path}.localhostProfile", errors)


def _app_armor(profile: Object, path: str, errors: Errors) -> None:
    kind, local, here = profile.get("type"), profile.get("localhostProfile"), f"{path}.localhostProfile"
    if not kind:
        errors.required(f"{path}.type", "type is required when appArmorProfile is set")
    elif kind not in _PROFILE_TYPES:
        errors.unsupported(f"{path}.type", kind, _PROFILE_TYPES)
    elif kind != "Localhost":
        if local is not None:
            errors.invalid(here, local, "can only be set when AppArmor type is Localhost")
    elif not local:
        errors.required(here, "must be set when AppArmor type is Localhost")
    else:
        if local != local.strip():
            errors.invalid(here, local, "must not be padded with whitespace")
        if len(local.encode()) > _PROFILE_LENGTH:
            errors.too_long(here, _PROFILE_LENGTH)


def _sysctls(sysctls: list[Object], spec: Object, path: str, errors: Errors) -> None:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        name, here = sysctl.get("name") or "", f"{path}[{index}].name"
        if not name:
            errors.required(here)
        elif len(name) > _SYSCTL_LENGTH or not _SYSCTL.fullmatch(name):
            detail = f"must have at most {_SYSCTL_LENGTH} characters and match regex {_SYSCTL_TEXT}"
            errors.invalid(here, name, detail)
        elif name in seen:
            errors.duplicate(here, name)
        seen.add(name)
        dotted = _dotted(name)
        if spec.get("hostNetwork") and dotted.startswith(_NET_SYSCTL):
            errors.invalid(here, name, "may not be specified when 'hostNetwork' is true")
        elif spec.get("hostIPC") and (dotted.startswith(_IPC_SYSCTLS) or dotted == "kernel.sem"):
            errors.invalid(here, name, "may not be specified when 'hostIPC' is true")


def _dotted(sysctl: str) -> str:
    """`net/ipv4/x` is a way to write `net.ipv4.x` (sysctl.d(5)): the first separator tells which way is used."""
    slash, dot = sysctl.find("/"), sysctl.find(".")
    if slash < 0 or 0 <= dot < slash:
        return sysctl
    return sysctl.translate(str.maketrans("/.", "./"))


def _windows_options(options: Object, path: str, errors: Errors) -> None:
    name, spec, user = (options.get(key) for key in ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName"))
    if name is not None:
        follows(names.dns_subdomain, name, f"{path}.gmsaCredentialSpecName", errors)
    if spec is not None:
        if not spec:
            errors.invalid(f"{path}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string")
        elif len(spec.encode()) > _GMSA_LENGTH:
            errors.invalid(f"{path}.gmsaCredentialSpec", spec, "gmsaCredentialSpec size must be under 64 KiB")
    if user is not None:
        follows(_windows_user, user, f"{path}.runAsUserName", errors)


def _windows_user(text: str) -> list[str]:
    """`DOMAIN\\user` or `user`."""
    if not text:
        return ["runAsUserName cannot be an empty string"]
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        return ["runAsUserName cannot contain control characters"]
    if text.count("\\") > 1:
        return ["runAsUserName cannot contain more than one backslash"]
    domain, separator, user = text.rpartition("\\")
    problems = []
    if len(domain) >= _DOMAIN_LENGTH:
        problems.append(f"runAsUserName's Domain length must be under {_DOMAIN_LENGTH} characters")
    if separator and not (_NETBIOS.fullmatch(domain) or _DNS_DOMAIN.fullmatch(domain)):
        problems.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    if not user:
        problems.append("runAsUserName's User cannot be empty")
    elif len(user) > _USER_LENGTH:
        problems.append(f"runAsUserName's User length must not be longer than {_USER_LENGTH} characters")
    if user and not user.strip(". "):
        problems.append("runAsUserName's User cannot contain only periods or spaces")
    if any(sign in user for sign in _USER_SIGNS):
        problems.append(f"runAsUserName's User cannot contain the following characters: {_USER_SIGNS}")
    return problems
