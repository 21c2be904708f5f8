"""Who one is and what one may, asked with kubectl; and a server whose flags say who may come."""

from __future__ import annotations

import json
import shutil
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.apiserver.conftest import Kubectl, running
from tests.unit.apiserver_gates.authority import Authority


def test_who_one_is(kubectl: Kubectl) -> None:
    found = json.loads(kubectl.out("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert found == {"username": "tester", "uid": "1", "groups": ["system:masters", "system:authenticated"]}
    shown = kubectl.out("auth", "whoami", "--as", "jane", "--as-group", "dev", "--as-uid", "7")
    assert "jane" in shown and "dev" in shown and "7" in shown


def test_what_one_may(kubectl: Kubectl) -> None:
    jane = ("--as", "jane")
    assert kubectl.out("auth", "can-i", "delete", "nodes") == "yes"
    assert kubectl.run("auth", "can-i", "get", "pods", *jane, ok=False).stdout.strip() == "no"
    kubectl.run("create", "rolebinding", "b", "--clusterrole=view", "--user=jane")
    assert kubectl.out("auth", "can-i", "get", "pods", "--subresource=log", *jane) == "yes"
    assert kubectl.run("auth", "can-i", "get", "secrets", *jane, ok=False).stdout.strip() == "no"
    assert kubectl.out("auth", "can-i", "get", "/healthz", *jane) == "yes"
    listed = kubectl.out("auth", "can-i", "--list", *jane)
    assert "pods/log" in listed and "selfsubjectreviews.authentication.k8s.io" in listed


def test_reconciling_roles(kubectl: Kubectl) -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    meta = {"name": "r", "namespace": kubectl.namespace}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": [rule]}
    assert "reconciled" in kubectl.out("auth", "reconcile", "-f", "-", stdin=role)
    more = {**rule, "verbs": ["list"]}
    kubectl.run("auth", "reconcile", "-f", "-", stdin={**role, "rules": [more]})
    assert kubectl.get("role", "r")["rules"] == [rule, more]
    kubectl.run("auth", "reconcile", "--remove-extra-permissions", "-f", "-", stdin={**role, "rules": [more]})
    assert kubectl.get("role", "r")["rules"] == [more]


def test_tokens(kubectl: Kubectl) -> None:
    kubectl.run("create", "serviceaccount", "robot")
    kubectl.run("create", "rolebinding", "r", "--clusterrole=view", f"--serviceaccount={kubectl.namespace}:robot")
    kubectl.run("create", "secret", "generic", "anchor")
    bound = ("--bound-object-kind", "Secret", "--bound-object-name", "anchor")
    token = kubectl.out("create", "token", "robot", "--duration", "20m", *bound)

    def who(*more: str, ok: bool = True) -> str:
        command = ("--token", token, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
        done = kubectl.run(*command, *more, ok=ok)
        return done.stdout if ok else done.stderr

    assert who() == f"system:serviceaccount:{kubectl.namespace}:robot"
    assert kubectl.out("--token", token, "auth", "can-i", "list", "pods") == "yes"
    other = kubectl.out("create", "token", "robot", "--audience", "vault")
    assert "Unauthorized" in kubectl.run("--token", other, "get", "pods", ok=False).stderr
    asked = {"token": other, "audiences": ["vault"]}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": asked}
    status = json.loads(kubectl.out("create", "-o", "json", "-f", "-", stdin=review))["status"]
    assert status["authenticated"] and status["audiences"] == ["vault"]
    assert "authentication.kubernetes.io/credential-id" in status["user"]["extra"]
    kubectl.run("delete", "secret", "anchor")
    assert "Unauthorized" in who(ok=False)
    error = kubectl.error("create", "token", "robot", "--duration", "10s")
    assert error == (
        'error: failed to create token: TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: '
        "Invalid value: 10: may not specify a duration less than 10 minutes"
    )


class Client:
    """Asks over TLS with a certificate."""

    def __init__(self, server: str, files: tuple[Path, Path] | None) -> None:
        self._server, self._tls = server, ssl._create_unverified_context()
        if files:
            self._tls.load_cert_chain(*files)

    def ask(self, path: str, **headers: str) -> tuple[int, str]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self._server}{path}", headers=sent)
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def test_a_server_that_is_told_who_may_come(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    clients, proxies = Authority(tmp_path, "clients"), Authority(tmp_path, "proxies")

    def written(name: str, **document: Any) -> str:
        path = tmp_path / name
        path.write_text(yaml.safe_dump({"apiVersion": "apiserver.config.k8s.io/v1", **document}))
        return str(path)

    anonymous = {"enabled": True, "conditions": [{"path": "/readyz"}]}
    authorizers = [{"type": "RBAC", "name": "roles"}]
    flags = [
        "--client-ca-file", str(clients.path), "--requestheader-client-ca-file", str(proxies.path),
        "--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
        "--authentication-config", written("authn", kind="AuthenticationConfiguration", anonymous=anonymous, jwt=[]),
        "--authorization-config", written("authz", kind="AuthorizationConfiguration", authorizers=authorizers),
    ]  # fmt: skip
    with running(tmp_path, *flags) as kubectl:
        nobody, ours = Client(kubectl.server, None), Client(kubectl.server, clients.issue("jane", ["system:masters"]))
        proxy = Client(kubectl.server, proxies.issue("front"))
        assert (nobody.ask("/readyz")[0], nobody.ask("/version")[0]) == (200, 401)
        assert ours.ask("/api/v1/nodes")[0] == 200
        assert proxy.ask("/api/v1/nodes", X_Remote_User="joe")[0] == 403
        assert proxy.ask("/api/v1/nodes", X_Remote_User="joe", X_Remote_Group="system:masters")[0] == 200
        assert proxy.ask("/version", X_Remote_User="joe")[0] == 200
        assert ours.ask("/version", X_Remote_User="joe")[0] == 200
        assert proxy.ask("/version")[0] == 401
        found = kubectl.get("configmap", "extension-apiserver-authentication", "-n", "kube-system")["data"]
        assert found["requestheader-client-ca-file"] == proxies.path.read_text()
        _, page = ours.ask("/metrics")
        counted = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }
        # The reader calls every counter that.
        assert counted["authentication_attempts_total", ("result", "error")] >= 1
        assert counted["authentication_attempts_total", ("result", "success")] >= 4
        assert counted["authorization_attempts_total", ("result", "allowed")] >= 4
        decided = ("decision", "allowed"), ("name", "roles"), ("type", "RBAC")
        assert counted["apiserver_authorization_decisions_total", *decided] >= 1
        assert counted["apiserver_client_certificate_expiration_seconds_count",] >= 2
