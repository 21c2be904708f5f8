"""The checks that the level restricted has beyond baseline.

Source: Kubernetes documentation, "Pod Security Standards": Restricted.
"""

from __future__ import annotations

from kybern.api.types import Object
from kybern.apiserver.admission.podsecurity.baseline import PROFILES, seccomp_profile
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

_ADDABLE = frozenset(("NET_BIND_SERVICE",))
_VOLUMES = frozenset((
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
))  # fmt: skip
_RESTRICTED_VOLUMES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd",
    "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk",
    "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos",
)  # fmt: skip


def but_on_windows(check: Check) -> Check:
    """The check, for pods that don't say they are for Windows, which has no such thing."""

    def checked(metadata: Object, spec: Object) -> Violation | None:
        return None if (spec.get("os") or {}).get("name") == "windows" else check(metadata, spec)

    return checked


def privilege_escalation(metadata: Object, spec: Object) -> Violation | None:
    names = [one["name"] for one in containers_of(spec) if context(one, "allowPrivilegeEscalation") is not False]
    if not names:
        return None
    return Violation(
        "allowPrivilegeEscalation != false",
        f"{containers(names)} must set securityContext.allowPrivilegeEscalation=false",
    )


def capabilities(metadata: Object, spec: Object) -> Violation | None:
    keeping, adding, added = [], [], set()
    for container in containers_of(spec):
        if "ALL" not in (context(container, "capabilities", "drop") or ()):
            keeping.append(container["name"])
        more = set(context(container, "capabilities", "add") or ()) - _ADDABLE
        if more:
            adding.append(container["name"])
            added |= more
    details = []
    if keeping:
        details.append(f'{containers(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        shown = quoted(sorted(added))
        details.append(f"{containers(adding)} must not include {shown} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def volumes(metadata: Object, spec: Object) -> Violation | None:
    names, kinds = [], set()
    for volume in spec.get("volumes") or ():
        given = {kind for kind, source in volume.items() if source is not None}
        if not given & _VOLUMES:
            names.append(volume["name"])
            kinds.add(next((kind for kind in _RESTRICTED_VOLUMES if kind in given), "unknown"))
    if not names:
        return None
    uses = f"{number_of(names, 'uses', 'use')} {number_of(kinds, 'restricted volume type')} {quoted(sorted(kinds))}"
    return Violation("restricted volume types", f"{number_of(names, 'volume')} {quoted(names)} {uses}")


def run_as_non_root(metadata: Object, spec: Object) -> Violation | None:
    reason, whole = "runAsNonRoot != true", context(spec, "runAsNonRoot")
    said = {one["name"]: context(one, "runAsNonRoot") for one in containers_of(spec)}
    who = setters(whole is False, [name for name, value in said.items() if value is False])
    if who:
        return Violation(reason, f"{who} must not set securityContext.runAsNonRoot=false")
    silent = [name for name, value in said.items() if value is None and not whole]
    if silent:
        return Violation(reason, f"pod or {containers(silent)} must set securityContext.runAsNonRoot=true")
    return None


def run_as_user(metadata: Object, spec: Object) -> Violation | None:
    names = [one["name"] for one in containers_of(spec) if context(one, "runAsUser") == 0]
    who = setters(context(spec, "runAsUser") == 0, names)
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp(metadata: Object, spec: Object) -> Violation | None:
    if wrong := seccomp_profile(metadata, spec):
        return wrong
    if context(spec, "seccompProfile") is not None:
        return None
    silent = [one["name"] for one in containers_of(spec) if context(one, "seccompProfile") is None]
    if not silent:
        return None
    wanted = " or ".join(f'"{profile}"' for profile in sorted(PROFILES, reverse=True))
    return Violation(
        "seccompProfile", f"pod or {containers(silent)} must set securityContext.seccompProfile.type to {wanted}"
    )
