"""Where groups and versions stand among others in discovery: upstream's numbers for what is served here.

Source: API reference, APIServiceSpec v1 apiregistration.k8s.io; kube-apiserver's table of priorities.
"""

from __future__ import annotations

from typing import NamedTuple


class Priority(NamedTuple):
    """groupPriorityMinimum and versionPriority; the greater comes first."""

    group: int
    version: int


CUSTOM = Priority(1000, 100)
"""Of custom kinds."""

_GROUPS = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "internal.apiserver.k8s.io": 16000,
    "resource.k8s.io": 15900,
    "storagemigration.k8s.io": 15800,
}
_VERSIONS = {
    ("", "v1"): 1,
    ("events.k8s.io", "v1beta1"): 5,
    ("authentication.k8s.io", "v1alpha1"): 1,
    ("autoscaling", "v2"): 30,
    ("certificates.k8s.io", "v1alpha1"): 1,
    ("networking.k8s.io", "v1alpha1"): 1,
    ("storage.k8s.io", "v1alpha1"): 1,
    ("admissionregistration.k8s.io", "v1beta1"): 12,
    ("coordination.k8s.io", "v1beta1"): 13,
    ("coordination.k8s.io", "v1alpha2"): 12,
    ("discovery.k8s.io", "v1beta1"): 12,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("flowcontrol.apiserver.k8s.io", "v1beta3"): 18,
}
_STABLE, _OTHER = 15, 9


def priority(group: str, version: str) -> Priority:
    """Of a built-in group and version."""
    stable = "alpha" not in version and "beta" not in version
    return Priority(_GROUPS.get(group, 15700), _VERSIONS.get((group, version), _STABLE if stable else _OTHER))
