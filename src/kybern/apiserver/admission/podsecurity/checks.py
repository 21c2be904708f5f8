"""Which checks a standard has: the table, and what follows from it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from kybern.api.types import Object
from kybern.apiserver.admission.podsecurity import baseline, restricted
from kybern.apiserver.admission.podsecurity.policy import BASELINE, PRIVILEGED, RESTRICTED, Standard
from kybern.apiserver.admission.podsecurity.violation import Check, Violation

relaxed, but_windows = baseline.outside_user_namespaces, restricted.but_on_windows


class _Entry(NamedTuple):
    """A check of a level: which form it has from which minor version on, and which check of baseline it stands for."""

    level: str
    versions: dict[int, Check]
    instead_of: str = ""


CHECKS: dict[str, _Entry] = {
    "appArmorProfile": _Entry(BASELINE, {0: baseline.app_armor_profile}),
    "capabilities_baseline": _Entry(BASELINE, {0: baseline.capabilities}),
    "hostNamespaces": _Entry(BASELINE, {0: baseline.host_namespaces}),
    "hostPathVolumes": _Entry(BASELINE, {0: baseline.host_path_volumes}),
    "hostPorts": _Entry(BASELINE, {0: baseline.host_ports}),
    "hostProbesAndHostLifecycle": _Entry(BASELINE, {34: baseline.host_probes}),
    "privileged": _Entry(BASELINE, {0: baseline.privileged}),
    "procMount": _Entry(BASELINE, {0: baseline.proc_mount, 35: relaxed(baseline.proc_mount)}),
    "seLinuxOptions": _Entry(BASELINE, {0: baseline.selinux_options, 31: baseline.selinux_options_31}),
    "seccompProfile_baseline": _Entry(BASELINE, {0: baseline.seccomp_annotations, 19: baseline.seccomp_profile}),
    "sysctls": _Entry(
        BASELINE, {0: baseline.sysctls, 27: baseline.sysctls_27, 29: baseline.sysctls_29, 32: baseline.sysctls_32}
    ),
    "windowsHostProcess": _Entry(BASELINE, {0: baseline.windows_host_process}),
    "allowPrivilegeEscalation": _Entry(
        RESTRICTED, {8: restricted.privilege_escalation, 25: but_windows(restricted.privilege_escalation)}
    ),
    "capabilities_restricted": _Entry(
        RESTRICTED, {22: restricted.capabilities, 25: but_windows(restricted.capabilities)}, "capabilities_baseline"
    ),
    "procMount_restricted": _Entry(RESTRICTED, {35: baseline.proc_mount}, "procMount"),
    "restrictedVolumes": _Entry(RESTRICTED, {0: restricted.volumes}, "hostPathVolumes"),
    "runAsNonRoot": _Entry(RESTRICTED, {0: restricted.run_as_non_root, 35: relaxed(restricted.run_as_non_root)}),
    "runAsUser": _Entry(RESTRICTED, {23: restricted.run_as_user, 35: relaxed(restricted.run_as_user)}),
    "seccompProfile_restricted": _Entry(
        RESTRICTED, {19: restricted.seccomp, 25: but_windows(restricted.seccomp)}, "seccompProfile_baseline"
    ),
}
"""By upstream's names, in the order in which findings are told: baseline's first, each level's by name."""

NEWEST = max(minor for entry in CHECKS.values() for minor in entry.versions)
"""The last version that changed anything; later ones are like it."""


def violations(standard: Standard, metadata: Object, spec: Object) -> list[Violation]:
    """What a pod, or pod template, does that the standard forbids."""
    checks = _checks(standard.level, min(standard.minor, NEWEST))
    return [found for check in checks if (found := check(metadata, spec)) is not None]


@cache
def _checks(level: str, minor: int) -> tuple[Check, ...]:
    if level == PRIVILEGED:
        return ()
    valid = {
        name: entry.versions[max(since for since in entry.versions if since <= minor)]
        for name, entry in CHECKS.items()
        if (entry.level == BASELINE or level == RESTRICTED) and min(entry.versions) <= minor
    }
    replaced = {CHECKS[name].instead_of for name in valid}
    return tuple(check for name, check in valid.items() if name not in replaced)
