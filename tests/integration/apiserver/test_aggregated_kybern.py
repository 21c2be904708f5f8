"""One kybern API server behind another: kubectl asks the front one, the other believes who it says asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.apiserver.conftest import Kubectl, running
from tests.integration.apiserver.outside import Authority

GROUP = "behind.example.com"
NAMES = {"plural": "things", "kind": "Thing", "shortNames": ["th"]}
SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"things.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": NAMES,
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}],
    },
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kubectl, Kubectl]]:
    """The front server's kubectl and that of the one behind."""
    keys = tmp_path_factory.mktemp("front-proxy")
    proxies = Authority("front-proxy-ca")
    certificate, key = proxies.issue("front-proxy-client")
    for name, content in (("ca.crt", proxies.pem), ("client.crt", certificate), ("client.key", key)):
        (keys / name).write_bytes(content)
    believes = [
        "--requestheader-client-ca-file", str(keys / "ca.crt"), "--requestheader-allowed-names", "front-proxy-client",
        "--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
        "--requestheader-extra-headers-prefix", "X-Remote-Extra-",
    ]  # fmt: skip
    shows = ["--proxy-client-cert-file", str(keys / "client.crt"), "--proxy-client-key-file", str(keys / "client.key")]
    with (
        running(tmp_path_factory.mktemp("behind"), *believes) as behind,
        running(tmp_path_factory.mktemp("front"), *shows) as front,
    ):
        behind.run("apply", "-f", "-", stdin=DEFINITION)
        behind.run("wait", "--for=condition=Established", f"crd/things.{GROUP}")
        port = int(behind.server.rpartition(":")[2])
        external = {"type": "ExternalName", "externalName": "localhost"}
        where = {"namespace": "default", "name": "behind", "port": port}
        place = {"groupPriorityMinimum": 1500, "versionPriority": 15, "insecureSkipTLSVerify": True}
        spec = {"group": GROUP, "version": "v1", "service": where, **place}
        kind = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"}
        objects = [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "behind"}, "spec": external},
            {**kind, "metadata": {"name": f"v1.{GROUP}"}, "spec": spec},
        ]
        front.run("apply", "-f", "-", stdin=objects)
        front.run("wait", "--for=condition=Available", f"apiservice/v1.{GROUP}", "--timeout=30s")
        yield front, behind


def test_kubectl_works_with_what_is_behind(servers: tuple[Kubectl, Kubectl]) -> None:
    front, behind = servers
    thing = {"apiVersion": f"{GROUP}/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"size": 1}}
    assert front.out("apply", "-f", "-", stdin=thing) == f"thing.{GROUP}/a created"
    assert front.out("get", "th", "-o", "name") == f"thing.{GROUP}/a"
    assert behind.get("things", "a")["spec"] == {"size": 1}
    assert front.out("apply", "-f", "-", stdin={**thing, "spec": {"size": 2}}) == f"thing.{GROUP}/a configured"
    watched = front.out("get", "things", "a", "-w", "--request-timeout=1s", "-o", "jsonpath={.spec.size}")
    assert watched.startswith("2")
    assert "things" in front.out("api-resources", "--api-group", GROUP, "-o", "name")
    front.until(lambda: GROUP in front.out("get", "--raw", "/openapi/v3"), "OpenAPI has the group")
    assert "KIND:       Thing" in front.out("explain", f"things.{GROUP}")
    assert front.out("delete", "thing", "a", "-o", "name") == f"thing.{GROUP}/a"


def test_the_one_behind_decides_by_who_asks(servers: tuple[Kubectl, Kubectl]) -> None:
    front, _ = servers
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "all"}}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "all"}
    bob = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}
    roles = [{**rbac, "kind": "ClusterRole", "rules": rules}]
    roles.append({**rbac, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [bob]})
    front.run("apply", "-f", "-", stdin=roles)
    # Here bob may; there nobody has said so.
    message = front.error("get", f"things.{GROUP}", "--as", "bob")
    assert f'User "bob" cannot list resource "things" in API group "{GROUP}"' in message


def test_the_front_server_says_whom_it_trusts(servers: tuple[Kubectl, Kubectl]) -> None:
    _, behind = servers
    found = json.loads(behind.out("get", "cm", "-n", "kube-system", "extension-apiserver-authentication", "-o", "json"))
    assert json.loads(found["data"]["requestheader-allowed-names"]) == ["front-proxy-client"]


def test_only_both_files_make_an_identity(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="go together"), running(tmp_path, "--proxy-client-cert-file", "x"):
        pass
