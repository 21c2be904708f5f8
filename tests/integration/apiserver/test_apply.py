"""kubectl apply, apply --server-side, diff and patch on built-in kinds."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.integration.apiserver.conftest import Kubectl


def deployment(**spec: Any) -> dict[str, Any]:
    container = {
        "name": "web",
        "image": "web:1",
        "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    }
    containers = [container, {"name": "s", "image": "s:1"}]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec},
    }


def pod_spec(obj: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = obj["spec"]["template"]["spec"]
    return found


def managers(obj: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(e["manager"], e["operation"]): e["fieldsV1"] for e in obj["metadata"]["managedFields"]}


def test_apply_changes_what_the_file_changes(kubectl: Kubectl) -> None:
    first = deployment(replicas=2)
    assert kubectl.out("apply", "-f", "-", stdin=first) == "deployment.apps/web created"
    assert kubectl.out("apply", "-f", "-", stdin=first) == "deployment.apps/web unchanged"
    second = deployment()
    web, sidecar = pod_spec(second)["containers"]
    web |= {"image": "web:2", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}
    web["ports"] = [{"containerPort": 80}]
    sidecar["name"] = "new"
    assert kubectl.out("apply", "-f", "-", stdin=second) == "deployment.apps/web configured"
    got = kubectl.get("deploy", "web")
    containers = {c["name"]: c for c in pod_spec(got)["containers"]}
    assert containers.keys() == {"web", "new"}
    assert containers["web"]["image"] == "web:2"
    assert containers["web"]["env"] == web["env"]
    assert containers["web"]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert got["spec"]["replicas"] == 1
    assert got["metadata"]["generation"] == 2


def test_apply_keeps_what_others_changed(kubectl: Kubectl) -> None:
    kubectl.run("apply", "-f", "-", stdin=deployment())
    kubectl.run("scale", "deploy/web", "--replicas=5")
    kubectl.run("set", "env", "deploy/web", "-c", "s", "Z=1")
    changed = deployment()
    pod_spec(changed)["containers"][0]["image"] = "web:2"
    kubectl.run("apply", "-f", "-", stdin=changed)
    got = kubectl.get("deploy", "web")
    assert got["spec"]["replicas"] == 5
    assert pod_spec(got)["containers"][1]["env"] == [{"name": "Z", "value": "1"}]
    assert pod_spec(got)["containers"][0]["image"] == "web:2"


def test_diff_shows_the_change_and_makes_none(kubectl: Kubectl) -> None:
    kubectl.run("apply", "-f", "-", stdin=deployment(replicas=1))
    assert kubectl.out("diff", "-f", "-", stdin=deployment(replicas=1)) == ""
    done = kubectl.run("diff", "-f", "-", stdin=deployment(replicas=3), ok=False)
    assert done.returncode == 1
    assert "-  replicas: 1" in done.stdout
    assert "+  replicas: 3" in done.stdout
    assert kubectl.get("deploy", "web")["spec"]["replicas"] == 1


def test_server_side_apply_conflicts_until_forced(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=deployment(replicas=1))
    config = deployment(replicas=4)
    said = kubectl.error("apply", "--server-side", "-f", "-", stdin=config)
    assert (
        'error: Apply failed with 1 conflict: conflict with "kubectl-create" using apps/v1: .spec.replicas' in said
    )
    assert kubectl.get("deploy", "web")["spec"]["replicas"] == 1
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=config)
    got = kubectl.get("deploy", "web")
    assert got["spec"]["replicas"] == 4
    fields = managers(got)
    assert "f:replicas" in fields["kubectl", "Apply"]["f:spec"]
    assert "f:replicas" not in fields["kubectl-create", "Update"]["f:spec"]


def test_server_side_apply_of_two_teams(kubectl: Kubectl) -> None:
    kubectl.run("apply", "--server-side", "--field-manager=a", "-f", "-", stdin=deployment(replicas=2))
    container = {"name": "s", "image": "s:1", "env": [{"name": "X", "value": "1"}]}
    part = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }  # fmt: skip
    kubectl.run("apply", "--server-side", "--field-manager=b", "-f", "-", stdin=part)
    got = kubectl.get("deploy", "web")
    assert pod_spec(got)["containers"][1]["env"] == [{"name": "X", "value": "1"}]
    assert managers(got)["b", "Apply"] == {
        "f:spec": {
            "f:template": {
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"s"}': {
                            ".": {}, "f:image": {}, "f:name": {},
                            "f:env": {'k:{"name":"X"}': {".": {}, "f:name": {}, "f:value": {}}},
                        }
                    }
                }
            }
        }
    }  # fmt: skip
    without = deployment()
    del pod_spec(without)["containers"][1]
    kubectl.run("apply", "--server-side", "--field-manager=a", "-f", "-", stdin=without)
    got = kubectl.get("deploy", "web")
    assert got["spec"]["replicas"] == 1
    assert [c["name"] for c in pod_spec(got)["containers"]] == ["web", "s"]


def test_server_side_apply_twice_changes_nothing(kubectl: Kubectl) -> None:
    kubectl.run("apply", "--server-side", "-f", "-", stdin=deployment(replicas=2))
    before = kubectl.get("deploy", "web")
    kubectl.run("apply", "--server-side", "-f", "-", stdin=deployment(replicas=2))
    assert kubectl.get("deploy", "web") == before


def test_from_client_side_to_server_side(kubectl: Kubectl) -> None:
    """kubectl hands its own fields over by itself, and goes on keeping its record."""
    kubectl.run("apply", "-f", "-", stdin=deployment(replicas=2))
    kubectl.run("apply", "--server-side", "-f", "-", stdin=deployment())
    got = kubectl.get("deploy", "web")
    assert set(managers(got)) == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
    assert got["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("kind", "patch", "image"),
    [
        ("strategic", {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "x"}]}}}}, ["x", "s:1"]),
        (
            "merge",
            {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "x"}]}}}},
            ["x"],
        ),
        ("json", [{"op": "replace", "path": "/spec/template/spec/containers/1/image", "value": "x"}], ["web:1", "x"]),
    ],
)
def test_the_three_kinds_of_patch(kubectl: Kubectl, kind: str, patch: Any, image: list[str]) -> None:
    kubectl.run("create", "-f", "-", stdin=deployment())
    said = kubectl.out("patch", "deploy", "web", f"--type={kind}", "-p", json.dumps(patch))
    assert said == "deployment.apps/web patched"
    got = kubectl.get("deploy", "web")
    assert [c["image"] for c in pod_spec(got)["containers"]] == image
    assert ("kubectl-patch", "Update") in managers(got)


def test_a_json_patch_that_fails_its_test_is_refused(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=deployment(replicas=1))
    patch = [{"op": "test", "path": "/spec/replicas", "value": 2}, {"op": "remove", "path": "/spec/replicas"}]
    said = kubectl.error("patch", "deploy", "web", "--type=json", "-p", json.dumps(patch))
    assert "the server rejected our request due to an error in our request" in said
    assert kubectl.get("deploy", "web")["spec"]["replicas"] == 1


def test_status_is_patched_on_its_own(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=deployment(replicas=1))
    patch = {"spec": {"replicas": 9}, "status": {"replicas": 1, "observedGeneration": 1}}
    kubectl.run("patch", "deploy", "web", "--subresource=status", "--type=merge", "-p", json.dumps(patch))
    got = kubectl.get("deploy", "web")
    assert (got["spec"]["replicas"], got["status"]["replicas"], got["metadata"]["generation"]) == (1, 1, 1)
    entry = next(e for e in got["metadata"]["managedFields"] if e.get("subresource") == "status")
    assert entry["fieldsV1"] == {"f:status": {"f:observedGeneration": {}, "f:replicas": {}}}


def test_managed_fields_can_be_dropped(kubectl: Kubectl) -> None:
    kubectl.run("create", "configmap", "c", "--from-literal=a=1")
    assert managers(kubectl.get("cm", "c")) == {("kubectl-create", "Update"): {"f:data": {".": {}, "f:a": {}}}}
    kubectl.run("patch", "cm", "c", "--type=merge", "-p", '{"metadata":{"managedFields":[{}]}}')
    assert "managedFields" not in kubectl.get("cm", "c")["metadata"]


def test_a_wrong_type_is_told_of(kubectl: Kubectl) -> None:
    config = copy.deepcopy(deployment())
    config["spec"]["bogus"] = 1
    said = kubectl.error("apply", "--server-side", "-f", "-", stdin=config)
    assert "failed to create typed patch object" in said
    assert ".spec.bogus: field not declared in schema" in said


def test_replace_needs_the_current_version(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=deployment(replicas=1))
    stale = kubectl.get("deploy", "web")
    kubectl.run("scale", "deploy/web", "--replicas=2")
    stale["spec"]["replicas"] = 7
    said = kubectl.error("replace", "-f", "-", stdin=json.dumps(stale))
    assert "the object has been modified; please apply your changes to the latest version and try again" in said
