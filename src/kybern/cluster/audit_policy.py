"""What a cluster writes down of requests: who changed what and who read what, at level Metadata; not the steady
reading of its own components, leases, events and health checks, which would bury the rest.

Source: Kubernetes documentation, "Auditing"; API reference, Policy audit.k8s.io/v1.
"""

from __future__ import annotations

import json
from pathlib import Path

from kybern.cluster.layout import Layout, write_private

MAX_MEGABYTES, KEPT = 20, 3
_READS = ["get", "list", "watch"]
_COMPONENTS = [
    "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy", "system:kybern-network",
    "system:cloud-controller-manager", "system:serviceaccount:kube-system:kube-dns",
]  # fmt: skip
_CHECKS = ["/healthz*", "/livez*", "/readyz*", "/version", "/metrics", "/openapi/*"]
_HOUSEHOLD = [
    {"group": "", "resources": ["events"]},
    {"group": "events.k8s.io"},
    {"group": "coordination.k8s.io", "resources": ["leases"]},
]
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "nonResourceURLs": _CHECKS},
        {"level": "None", "resources": _HOUSEHOLD},
        {"level": "None", "users": _COMPONENTS, "verbs": _READS},
        {"level": "None", "userGroups": ["system:nodes"], "verbs": _READS},
        {"level": "Metadata"},
    ],
}


def path(layout: Layout) -> Path:
    """The policy's file."""
    return layout.root / "audit-policy.json"


def write(layout: Layout) -> None:
    write_private(path(layout), json.dumps(POLICY, indent=1).encode())


def flags(layout: Layout) -> list[str]:
    """How an API server is told."""
    return [
        f"--audit-policy-file={path(layout)}",
        f"--audit-log-path={layout.logs}/audit.log",
        f"--audit-log-maxsize={MAX_MEGABYTES}",
        f"--audit-log-maxbackup={KEPT}",
    ]
