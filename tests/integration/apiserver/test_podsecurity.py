"""Pod Security Standards through the API: what is refused, warned of, audited and exempt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kybern.apiserver import audit_policy
from kybern.apiserver.audit import Audit
from kybern.apiserver.audit_log import AuditLog
from kybern.apiserver.audit_outputs import LogOutput
from kybern.apiserver.gates import GateOptions
from tests.integration.apiserver.inprocess import ADMIN, MERGE, Api, serving

LABEL = "pod-security.kubernetes.io/"
FINDINGS = (
    'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
    'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
    'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
    'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
    '"Localhost")'
)


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


async def namespace(api: Api, **labels: str) -> str:
    """A namespace's path, with such pod security labels; `_` stands for `-`."""
    path = f"/api/v1/namespaces/{await api.ns()}"
    await api.ok("POST", f"{path}/serviceaccounts", {"metadata": {"name": "default"}})
    marks = {f"{LABEL}{mode.replace('_', '-')}": value for mode, value in labels.items()}
    await api.ok("PATCH", path, {"metadata": {"labels": marks}}, kind=MERGE)
    return path


async def warnings(api: Api, method: str, target: str, body: Any, **more: Any) -> list[str]:
    response = await api.respond(method, target, body, **more)
    assert response.status < 300, response.body
    return [value for name, value in response.headers if name == "warning"]


async def test_what_a_standard_forbids_is_refused_with_all_reasons(api: Api) -> None:
    path = await namespace(api, enforce="restricted")
    assert await api.why(403, "POST", f"{path}/pods", pod()) == (
        f'pods "p" is forbidden: violates PodSecurity "restricted:latest": {FINDINGS}'
    )
    path = await namespace(api, enforce="baseline", enforce_version="v1.33")
    await api.ok("POST", f"{path}/pods", pod())
    said = await api.why(403, "POST", f"{path}/pods", pod("q", hostNetwork=True))
    assert said == 'pods "q" is forbidden: violates PodSecurity "baseline:v1.33": host namespaces (hostNetwork=true)'


async def test_workloads_are_warned_of_only(api: Api) -> None:
    path = await namespace(api, enforce="restricted", warn="restricted")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}
    deployment = {
        "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }  # fmt: skip
    deployments = path.replace("/api/v1", "/apis/apps/v1") + "/deployments"
    escaped = FINDINGS.replace('"', '\\"')
    assert await warnings(api, "POST", deployments, deployment) == [
        f'299 - "would violate PodSecurity \\"restricted:latest\\": {escaped}"'
    ]
    job = {"spec": {"template": {"spec": {**pod()["spec"], "restartPolicy": "Never"}}}}
    crons = path.replace("/api/v1", "/apis/batch/v1") + "/cronjobs"
    cron = {"metadata": {"name": "c"}, "spec": {"schedule": "@daily", "jobTemplate": job}}
    [warning] = await warnings(api, "POST", crons, cron)
    assert "would violate PodSecurity" in warning
    assert await warnings(api, "PATCH", f"{deployments}/d/scale", {"spec": {"replicas": 2}}, kind=MERGE) == []


async def test_updates_are_judged_only_where_they_matter(api: Api) -> None:
    path = await namespace(api)
    await api.ok("POST", f"{path}/pods", pod())
    await api.ok("PATCH", path, {"metadata": {"labels": {f"{LABEL}enforce": "restricted"}}}, kind=MERGE)
    await api.ok("PATCH", f"{path}/pods/p", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)
    changed = {"spec": {"containers": [{"name": "c", "image": "other"}]}}
    strategic = "application/strategic-merge-patch+json"
    assert "violates PodSecurity" in await api.why(403, "PATCH", f"{path}/pods/p", changed, kind=strategic)
    debug = {"spec": {"ephemeralContainers": [{"name": "d", "image": "i"}]}}
    assert 'containers "c", "d"' in await api.why(
        403, "PATCH", f"{path}/pods/p/ephemeralcontainers", debug, kind=strategic
    )


async def test_labels_of_namespaces(api: Api) -> None:
    wrong = {"metadata": {"name": "wrong", "labels": {f"{LABEL}enforce": "strict", f"{LABEL}warn-version": "1.2"}}}
    status = await api.refused(422, "POST", "/api/v1/namespaces", wrong)
    assert status["message"] == (
        f'Namespace "wrong" is invalid: [metadata.labels[{LABEL}enforce]: Invalid value: "strict": must be one of '
        f'privileged, baseline, restricted, metadata.labels[{LABEL}warn-version]: Invalid value: "1.2": '
        'must be "latest" or "v1.x"]'
    )
    path = await namespace(api)
    name = path.rpartition("/")[2]
    for pod_name in "abc":
        await api.ok("POST", f"{path}/pods", pod(pod_name))
    await api.ok("POST", f"{path}/pods", pod("z", hostPID=True))
    stricter = {"metadata": {"labels": {f"{LABEL}enforce": "restricted"}}}
    reasons = "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    assert await warnings(api, "PATCH", path, stricter, kind=MERGE) == [
        f'299 - "existing pods in namespace \\"{name}\\" violate the new PodSecurity enforce level '
        '\\"restricted:latest\\""',
        f'299 - "a (and 2 other pods): {reasons}"',
        f'299 - "z: host namespaces, {reasons}"',
    ]
    looser = {"metadata": {"labels": {f"{LABEL}enforce": "baseline"}}}
    assert await warnings(api, "PATCH", path, looser, kind=MERGE) == []
    assert "must be one of" in await api.why(
        422, "PATCH", path, {"metadata": {"labels": {f"{LABEL}audit": "all"}}}, kind=MERGE
    )


async def test_defaults_exemptions_and_counts(tmp_path: Path) -> None:
    (tmp_path / "podsecurity.yaml").write_text("""
apiVersion: pod-security.admission.config.k8s.io/v1
kind: PodSecurityConfiguration
defaults: {enforce: baseline, warn: restricted}
exemptions: {usernames: [admin], namespaces: [kube-system]}
""")
    file = tmp_path / "admission.yaml"
    file.write_text("""
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins: [{name: PodSecurity, path: podsecurity.yaml}]
""")
    root = "root:system:masters"
    async with serving(GateOptions(admission_control_config_file=file)) as api:
        path = await namespace(api)
        assert 'violates PodSecurity "baseline:latest"' in await api.why(
            403, "POST", f"{path}/pods", pod(hostIPC=True), who=root
        )
        [warning] = await warnings(api, "POST", f"{path}/pods", pod(), who=root)
        assert 'would violate PodSecurity \\"restricted:latest\\"' in warning
        assert await warnings(api, "POST", f"{path}/pods", pod("q", hostIPC=True), who=ADMIN) == []
        page = await api.ok("GET", "/metrics")
    assert "pod_security_exemptions_total{" in page
    refused = 'operation="CREATE",rejected="true",type="validate"'
    assert f"apiserver_admission_step_admission_duration_seconds_count{{{refused}}} 1.0" in page
    assert 'pod_security_evaluations_total{decision="deny",mode="enforce",policy_level="baseline"' in page


async def test_what_is_audited(api: Api, tmp_path: Path) -> None:
    path = await namespace(api, enforce="baseline", audit="restricted", audit_version="v1.22")
    plain = await namespace(api)
    rules = tmp_path / "policy.yaml"
    rules.write_text('{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}')
    log = AuditLog(str(tmp_path / "log"))
    api.app.audit = Audit(audit_policy.load(rules), LogOutput(log))
    await api.ok("POST", f"{path}/pods", pod())
    await api.refused(403, "POST", f"{path}/pods", pod("q", hostIPC=True))
    await api.ok("POST", f"{plain}/pods", pod())
    api.app.audit = None
    log.close()
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    good, bad, privileged = [one["annotations"] for one in events if one["stage"] == "ResponseComplete"]
    assert good[f"{LABEL}enforce-policy"] == bad[f"{LABEL}enforce-policy"] == "baseline:latest"
    assert good[f"{LABEL}audit-violations"] == f'would violate PodSecurity "restricted:v1.22": {FINDINGS}'
    assert bad[f"{LABEL}audit-violations"].startswith('would violate PodSecurity "restricted:v1.22": host namespaces')
    assert privileged[f"{LABEL}enforce-policy"] == "privileged:latest"
