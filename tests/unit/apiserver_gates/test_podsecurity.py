"""Every check of the Pod Security Standards: what it finds, how it says so, and from which version on."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.apiserver.admission.podsecurity import config, policy
from kybern.apiserver.admission.podsecurity.checks import CHECKS, NEWEST, violations
from kybern.apiserver.admission.podsecurity.policy import BASELINE, LATEST, PRIVILEGED, RESTRICTED, Standard
from kybern.process.daemon import OperatorError

GOOD = {
    "runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip
"""A container's security context that satisfies everything."""
ANNOTATION = "container.seccomp.security.alpha.kubernetes.io/a"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/a"


def context(**fields: Any) -> dict[str, Any]:
    """A spec of one container with such a security context."""
    return {"containers": [{"name": "a", "securityContext": {**GOOD, **fields}}]}


def both(**fields: Any) -> dict[str, Any]:
    """The pod and two containers set it."""
    containers = [{"name": name, "securityContext": {**GOOD, **fields}} for name in "ab"]
    return {"securityContext": fields, "containers": containers}


def with_container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "a", "securityContext": GOOD, **fields}]}


def with_spec(**fields: Any) -> dict[str, Any]:
    return {**context(), **fields}


def said(level: str, minor: int, spec: dict[str, Any], **annotations: str) -> list[str]:
    return [str(one) for one in violations(Standard(level, minor), {"annotations": annotations}, spec)]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (context(privileged=True), 'privileged (container "a" must not set securityContext.privileged=true)'),
        (
            both(appArmorProfile={"type": "Unconfined"}),
            'forbidden AppArmor profile (pod and containers "a", "b" must not set AppArmor profile type to '
            '"Unconfined")',
        ),
        (
            context(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN", "NET_RAW", "CHOWN"]}),
            'non-default capabilities (container "a" must not include "NET_RAW", "SYS_ADMIN" in '
            "securityContext.capabilities.add)",
        ),
        (
            with_spec(hostNetwork=True, hostPID=True, hostIPC=True),
            "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
        ),
        (with_spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'hostPath volumes (volume "v")'),
        (
            with_container(ports=[{"hostPort": 80}, {"hostPort": 9}, {"containerPort": 1}]),
            'hostPort (container "a" uses hostPorts 80, 9)',
        ),
        (
            with_container(
                livenessProbe={"httpGet": {"host": "x"}}, lifecycle={"preStop": {"tcpSocket": {"host": "y"}}}
            ),
            'probe or lifecycle host (container "a" uses probe or lifecycle hosts "x", "y")',
        ),
        (
            context(procMount="Unmasked"),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            both(seLinuxOptions={"type": "t", "user": "u", "role": "r"}),
            'seLinuxOptions (pod and containers "a", "b" set forbidden securityContext.seLinuxOptions: type "t"; '
            "user may not be set; role may not be set)",
        ),
        (
            both(seccompProfile={"type": "Unconfined"}),
            'seccompProfile (pod and containers "a", "b" must not set securityContext.seccompProfile.type to '
            '"Unconfined")',
        ),
        (
            with_spec(securityContext={"sysctls": [{"name": "kernel.sem"}, {"name": "net.ipv4.tcp_rmem"}]}),
            "forbidden sysctls (kernel.sem)",
        ),
        (
            both(windowsOptions={"hostProcess": True}),
            'hostProcess (pod and containers "a", "b" must not set securityContext.windowsOptions.hostProcess=true)',
        ),
    ],
)
def test_baseline(spec: dict[str, Any], text: str) -> None:
    assert said(BASELINE, LATEST, spec) == [text]
    assert said(PRIVILEGED, LATEST, spec) == []


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            context(allowPrivilegeEscalation=None),
            'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)',
        ),
        (
            context(capabilities={"add": ["CHOWN", "NET_BIND_SERVICE"]}),
            'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; '
            'container "a" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
        (
            with_spec(volumes=[{"name": "n", "nfs": {}}, {"name": "h", "hostPath": {}}, {"name": "i", "image": {}}]),
            'restricted volume types (volumes "n", "h" use restricted volume types "hostPath", "nfs")',
        ),
        (
            context(runAsNonRoot=None),
            'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)',
        ),
        (
            both(runAsNonRoot=False),
            'runAsNonRoot != true (pod and containers "a", "b" must not set securityContext.runAsNonRoot=false)',
        ),
        (both(runAsUser=0), 'runAsUser=0 (pod and containers "a", "b" must not set runAsUser=0)'),
        (
            context(seccompProfile=None),
            'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
            '"Localhost")',
        ),
        (
            context(procMount="Unmasked"),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
    ],
)
def test_restricted(spec: dict[str, Any], text: str) -> None:
    assert said(RESTRICTED, LATEST, spec) == [text]


def test_a_good_pod_is_good_everywhere() -> None:
    for minor in (*range(NEWEST + 2), LATEST):
        assert said(RESTRICTED, minor, context()) == []


@pytest.mark.parametrize(
    ("level", "since", "spec"),
    [
        (RESTRICTED, 8, context(allowPrivilegeEscalation=True)),
        (RESTRICTED, 22, context(capabilities=None)),
        (RESTRICTED, 23, context(runAsUser=0)),
        (RESTRICTED, 19, context(seccompProfile=None)),
        (BASELINE, 34, with_container(startupProbe={"tcpSocket": {"host": "x"}})),
    ],
)
def test_checks_begin_with_a_version(level: str, since: int, spec: dict[str, Any]) -> None:
    assert said(level, since - 1, spec) == [] and len(said(level, since, spec)) == 1


@pytest.mark.parametrize(
    ("level", "until", "spec"),
    [
        (BASELINE, 27, with_spec(securityContext={"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]})),
        (BASELINE, 29, with_spec(securityContext={"sysctls": [{"name": "net.ipv4.tcp_fin_timeout"}]})),
        (BASELINE, 32, with_spec(securityContext={"sysctls": [{"name": "net.ipv4.tcp_wmem"}]})),
        (BASELINE, 31, context(seLinuxOptions={"type": "container_engine_t"})),
        (BASELINE, 35, {**context(procMount="Unmasked"), "hostUsers": False}),
        (RESTRICTED, 35, {**context(runAsNonRoot=False, runAsUser=None), "hostUsers": False}),
        (RESTRICTED, 35, {**context(runAsUser=0), "hostUsers": False}),
        (RESTRICTED, 25, {**context(allowPrivilegeEscalation=None), "os": {"name": "windows"}}),
        (RESTRICTED, 25, {**context(capabilities=None), "os": {"name": "windows"}}),
        (RESTRICTED, 25, {**context(seccompProfile=None), "os": {"name": "windows"}}),
    ],
)
def test_what_later_versions_allow(level: str, until: int, spec: dict[str, Any]) -> None:
    assert len(said(level, until - 1, spec)) == 1 and said(level, until, spec) == []


def test_annotations_count_as_they_did() -> None:
    unconfined = {ANNOTATION: "unconfined"}
    assert said(BASELINE, 18, context(), **unconfined) == [
        f'seccompProfile (forbidden annotation {ANNOTATION}="unconfined")'
    ]
    assert said(BASELINE, 19, context(), **unconfined) == []
    assert said(BASELINE, LATEST, context(), **{APPARMOR: "unconfined"}) == [
        f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{APPARMOR}="unconfined"")'
    ]
    assert said(BASELINE, LATEST, context(), **{APPARMOR: "localhost/mine"}) == []


def test_all_containers_are_looked_at() -> None:
    bad = {"securityContext": {"privileged": True}}
    spec = {f"{kind}": [{"name": kind, **bad}] for kind in ("initContainers", "containers", "ephemeralContainers")}
    assert said(BASELINE, LATEST, spec) == [
        'privileged (containers "initContainers", "containers", "ephemeralContainers" must not set '
        "securityContext.privileged=true)"
    ]


def test_there_are_nineteen_checks_each_levels_by_name() -> None:
    for level in (BASELINE, RESTRICTED):
        names = [name for name, entry in CHECKS.items() if entry.level == level]
        assert names == sorted(names)
    assert len(CHECKS) == 19


def test_labels_that_are_wrong_count_as_the_strictest_for_enforcing_only() -> None:
    labels = {f"{policy.PREFIX}{mode}": "strict" for mode in policy.MODES} | {f"{policy.PREFIX}warn-version": "v1.036"}
    found = policy.of(labels, config.NOTHING)
    assert [str(one) for one in found] == ["restricted:latest", "privileged:latest", "privileged:latest"]


def test_configuration() -> None:
    found = config.parse({
        "kind": config.KIND, "apiVersion": config.VERSIONS[0],
        "defaults": {"enforce": "baseline", "enforce-version": "v1.30", "warn": "restricted"},
        "exemptions": {"namespaces": ["kube-system"], "usernames": ["root"], "runtimeClasses": ["gvisor"]},
    })  # fmt: skip
    assert [str(one) for one in found.defaults] == ["baseline:v1.30", "privileged:latest", "restricted:latest"]
    assert found.namespaces == {"kube-system"} and found.users == {"root"} and found.runtime_classes == {"gvisor"}
    with pytest.raises(OperatorError) as caught:
        defaults = {"enforce": "x", "audit-version": "1"}
        config.parse({"defaults": defaults, "exemptions": {"namespaces": ["A", "b", "b"]}})
    for part in ("defaults.enforce", "defaults.audit-version", "namespaces[0]", 'namespaces[2]: Duplicate value: "b"'):
        assert part in str(caught.value)
