"""The audit log of a server that the real kubectl uses."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.apiserver.conftest import TOKEN, Kubectl, running

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [
        {"level": "None", "nonResourceURLs": ["/readyz*", "/openapi*", "/api", "/apis*"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
        {"level": "RequestResponse", "namespaces": ["default"], "omitStages": ["RequestReceived"]},
        {"level": "Metadata"},
    ],
}
Events = list[dict[str, Any]]
Logged = Callable[..., Events]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audited")


@pytest.fixture(scope="module")
def kubectl(directory: Path) -> Iterator[Kubectl]:
    (directory / "policy.yaml").write_text(yaml.safe_dump(POLICY))
    flags = ["--audit-policy-file", str(directory / "policy.yaml"), "--audit-log-path", str(directory / "audit.log")]
    with running(directory, *flags) as made:
        yield made


@pytest.fixture
def logged(directory: Path, kubectl: Kubectl) -> Logged:
    """The events of a verb and resource, once there are as many as wanted."""

    def find(verb: str, resource: str, count: int, **more: Any) -> Events:
        def matching() -> Events:
            lines = (directory / "audit.log").read_bytes().splitlines(keepends=True)
            events = [json.loads(line) for line in lines if line.endswith(b"\n")]
            wanted = {"resource": resource, **more}
            found = [e for e in events if e["verb"] == verb and wanted.items() <= e.get("objectRef", {}).items()]
            return found if len(found) >= count else []

        found: Events = kubectl.until(matching, f"{count} events of {verb} {resource}")
        assert len(found) == count
        return found

    return find


def test_a_create_is_written_with_its_objects_but_a_secret_is_not(kubectl: Kubectl, logged: Logged) -> None:
    kubectl.run("create", "configmap", "made", "--from-literal=a=1")
    (event,) = logged("create", "configmaps", 1)
    assert (event["kind"], event["apiVersion"], event["stage"]) == ("Event", "audit.k8s.io/v1", "ResponseComplete")
    assert event["level"] == "RequestResponse"
    assert event["objectRef"] == {
        "resource": "configmaps", "namespace": "default", "name": "made", "apiVersion": "v1",
    }  # fmt: skip
    assert event["requestObject"]["data"] == event["responseObject"]["data"] == {"a": "1"}
    assert event["responseObject"]["metadata"]["uid"] and event["responseStatus"] == {"metadata": {}, "code": 201}
    assert event["user"]["username"] == "tester" and "system:masters" in event["user"]["groups"]
    assert event["sourceIPs"] == ["127.0.0.1"] and event["userAgent"].startswith("kubectl/")
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert event["requestReceivedTimestamp"] <= event["stageTimestamp"]
    kubectl.run("create", "secret", "generic", "hidden", "--from-literal=word=sesame")
    received, complete = logged("create", "secrets", 2)
    assert [received["stage"], complete["stage"]] == ["RequestReceived", "ResponseComplete"]
    assert received["auditID"] == complete["auditID"]
    assert complete["objectRef"]["name"] == "hidden" and "requestObject" not in complete
    assert "responseObject" not in complete


def test_what_is_forbidden_and_in_whose_name(kubectl: Kubectl, logged: Logged) -> None:
    said = kubectl.error("get", "configmap", "made", "--as", "joe", "--as-group", "devs")
    (event,) = logged("get", "configmaps", 1, name="made")
    assert event["user"]["username"] == "tester"
    assert event["impersonatedUser"] == {"username": "joe", "groups": ["devs", "system:authenticated"]}
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    status = event["responseStatus"]
    assert (status["code"], status["reason"], status["status"]) == (403, "Forbidden", "Failure")
    assert status["message"] in said
    assert event["responseObject"]["kind"] == "Status" and "requestObject" not in event


def test_a_patch_and_a_deletion(kubectl: Kubectl, logged: Logged) -> None:
    kubectl.run("create", "configmap", "brief")
    kubectl.run(
        "patch", "configmap", "brief", "--type", "json", "-p", '[{"op":"add","path":"/data","value":{"b":"2"}}]'
    )
    kubectl.run("delete", "configmap", "brief")
    (patch,) = logged("patch", "configmaps", 1, name="brief")
    assert patch["requestObject"] == [{"op": "add", "path": "/data", "value": {"b": "2"}}]
    assert patch["responseObject"]["data"] == {"b": "2"}
    (delete,) = logged("delete", "configmaps", 1, name="brief")
    assert delete["requestObject"]["propagationPolicy"] == "Background"
    assert delete["responseStatus"] == {"metadata": {}, "status": "Success", "code": 200} | {
        "details": delete["responseObject"]["details"]
    }


def test_answers_in_protobuf_are_written_as_json(kubectl: Kubectl, logged: Logged) -> None:
    kubectl.run("create", "configmap", "packed", "--from-literal=a=1")
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/vnd.kubernetes.protobuf"}
    for name, code in (("packed", 200), ("none", 404)):
        url = f"{kubectl.server}/api/v1/namespaces/default/configmaps/{name}"
        request = urllib.request.Request(url, headers=headers)
        try:
            with urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=30) as answer:
                assert answer.read().startswith(b"k8s") and code == 200
        except urllib.error.HTTPError as error:
            assert error.code == code
    (found,) = logged("get", "configmaps", 1, name="packed")
    assert found["responseObject"]["data"] == {"a": "1"}
    (missing,) = logged("get", "configmaps", 1, name="none")
    assert missing["responseObject"]["kind"] == "Status"
    assert (missing["responseStatus"]["reason"], missing["responseStatus"]["code"]) == ("NotFound", 404)


def test_a_watch_is_written_when_it_starts_and_when_it_ends(kubectl: Kubectl, logged: Logged) -> None:
    command = ["kubectl", "--server", kubectl.server, "--token", TOKEN, "--insecure-skip-tls-verify"]
    watching = subprocess.Popen([*command, "get", "--raw", "/api/v1/namespaces/default/pods?watch=1"])
    (started,) = logged("watch", "pods", 1)
    assert (started["stage"], started["responseStatus"]["code"]) == ("ResponseStarted", 200)
    watching.terminate()
    watching.wait(30)
    assert [event["stage"] for event in logged("watch", "pods", 2)] == ["ResponseStarted", "ResponseComplete"]


def test_what_is_deprecated_is_marked(kubectl: Kubectl, logged: Logged) -> None:
    kubectl.run("get", "--raw", "/api/v1/namespaces/default/endpoints")
    assert logged("list", "endpoints", 1)[0]["annotations"]["k8s.io/deprecated"] == "true"


def test_an_exec_is_written_with_its_command(kubectl: Kubectl, logged: Logged) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "idle"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": False},
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    kubectl.run("create", "-f", "-", stdin=[account, pod])
    kubectl.run("exec", "idle", "--", "rm", "-rf", "x", ok=False)
    events = logged("get", "pods", 2, subresource="exec")
    assert [event["stage"] for event in events] == ["ResponseStarted", "ResponseComplete"]
    assert "command=rm&command=-rf&command=x" in events[1]["requestURI"]
    assert events[1]["responseStatus"]["status"] == "Failure" and events[1]["objectRef"]["name"] == "idle"


def test_wrong_credentials_and_the_id_in_the_answer(directory: Path, kubectl: Kubectl) -> None:
    wrong = {"Authorization": "Bearer wrong", "Audit-ID": "given"}
    request = urllib.request.Request(f"{kubectl.server}/api/v1/nodes", headers=wrong)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=30)
    assert refused.value.code == 401
    assert refused.value.headers["Audit-ID"] == "given"

    def found() -> Events:
        lines = (directory / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines if '"auditID":"given"' in line]

    (event,) = kubectl.until(found, "the event")
    assert event["stage"] == "ResponseStarted" and event["user"] == {}
    assert event["responseStatus"]["message"] == "Authentication failed, attempted: bearer"
    assert event["responseStatus"]["code"] == 401
