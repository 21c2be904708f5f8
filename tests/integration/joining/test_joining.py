"""How a node joins: a token, cluster-info that the token vouches for, a certificate; and how all of it is renewed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from kybern.api.certificates.certificatesigningrequest import APISERVER_CLIENT, KUBELET_CLIENT, KUBELET_SERVING
from kybern.controllers.signers import Authority, issue
from kybern.process.clock import clock
from kybern.testing import certificates
from tests.integration.joining.conftest import ControlPlane, free_port


def new_token(plane: ControlPlane, *args: str) -> str:
    return plane.token("create", *args).stdout.splitlines()[0]


def cluster_info(plane: ControlPlane) -> dict[str, str]:
    """As somebody without any identity reads it."""
    status, body = plane.curl("/api/v1/namespaces/kube-public/configmaps/cluster-info")
    assert status == 200, body
    data: dict[str, str] = json.loads(body)["data"]
    return data


def test_the_token_command_makes_lists_and_deletes(plane: ControlPlane) -> None:
    token, ca_hash = plane.token("create", "--description", "for a test", "--ttl", "2h").stdout.splitlines()
    key = plane.run("openssl", "x509", "-in", plane.ca, "-noout", "-pubkey").stdout
    der = base64.b64decode("".join(key.splitlines()[1:-1]))
    assert ca_hash == f"sha256:{hashlib.sha256(der).hexdigest()}"
    lines = plane.token("list").stdout.splitlines()
    assert lines[0].split("  ")[0] == "TOKEN"
    (line,) = [line for line in lines if line.startswith(token)]
    assert "authentication,signing" in line
    assert "for a test" in line
    assert "system:bootstrappers:kubeadm:default-node-token" in line
    secret = plane.get("secret", "-n", "kube-system", f"bootstrap-token-{token[:6]}")
    assert secret["type"] == "bootstrap.kubernetes.io/token"
    again = plane.token("create", token, ok=False)
    assert again.stderr == f'kybern: a token with id "{token[:6]}" already exists\n'
    assert plane.token("delete", token).stdout == f'bootstrap token "{token[:6]}" deleted\n'
    assert token not in plane.token("list").stdout
    assert "there is no bootstrap token" in plane.token("delete", token[:6], ok=False).stderr


def test_cluster_info_is_signed_by_each_token(plane: ControlPlane) -> None:
    token = new_token(plane)
    token_id, secret = token.split(".")
    key = f"jws-kubeconfig-{token_id}"
    data = plane.until(lambda: (found := cluster_info(plane)) and key in found and found, "the signature")
    header, left_out, signature = data[key].split(".")
    assert left_out == ""
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "kid": token_id}
    content = base64.urlsafe_b64encode(data["kubeconfig"].encode()).rstrip(b"=")
    wanted = hmac.digest(secret.encode(), header.encode() + b"." + content, hashlib.sha256)
    assert base64.urlsafe_b64decode(signature + "==") == wanted
    cluster = yaml.safe_load(data["kubeconfig"])["clusters"][0]["cluster"]
    assert cluster["server"] == plane.server
    assert base64.b64decode(cluster["certificate-authority-data"]) == Path(plane.ca).read_bytes()
    plane.token("delete", token_id)
    plane.until(lambda: key not in cluster_info(plane), "the signature of a token that is gone")


def test_an_expired_token_is_refused_and_removed(plane: ControlPlane) -> None:
    token = new_token(plane)
    path, header = "/apis/certificates.k8s.io/v1/certificatesigningrequests", f"Authorization: Bearer {token}"
    assert plane.curl(path, "-H", header)[0] == 200
    assert plane.curl("/api/v1/secrets", "-H", header)[0] == 403
    past = {"stringData": {"expiration": "2020-01-01T00:00:00Z"}}
    plane.kubectl("patch", "secret", "-n", "kube-system", f"bootstrap-token-{token[:6]}", "-p", json.dumps(past))
    status, body = plane.curl(path, "-H", header)
    assert (status, json.loads(body)["reason"]) == (401, "Unauthorized")
    plane.until(lambda: token not in plane.token("list").stdout, "the token's removal")


def test_kubectl_approves_and_denies(plane: ControlPlane) -> None:
    private = certificates.key()
    pem = certificates.request("alice", ["dev"], private=private)
    for name in ("yes", "no"):
        made = certificates.signing_request(name, pem, APISERVER_CLIENT, ["client auth"], expirationSeconds=3600)
        plane.kubectl("create", "-f", "-", stdin=made)
    assert plane.kubectl("get", "csr", "yes", "--no-headers").split()[-3:] == ["kubernetes-admin", "60m", "Pending"]
    assert plane.kubectl("certificate", "approve", "yes").endswith("/yes approved")
    assert plane.kubectl("certificate", "deny", "no").endswith("/no denied")
    done = plane.until(lambda: plane.get("csr", "yes")["status"].get("certificate"), "the certificate")
    issued = x509.load_pem_x509_certificate(base64.b64decode(done))
    life = issued.not_valid_after_utc - issued.not_valid_before_utc
    assert life.total_seconds() == 3600 + 300
    assert plane.kubectl("get", "csr", "yes", "--no-headers").split()[-1] == "Approved,Issued"
    assert plane.kubectl("get", "csr", "no", "--no-headers").split()[-1] == "Denied"
    both = plane.directory / "alice.pem"
    both.write_bytes(base64.b64decode(done) + certificates.key_pem(private))
    status, body = plane.curl("/api/v1/pods", "--cert", str(both))
    assert status == 403
    assert 'User \\"alice\\" cannot list' in body


@pytest.fixture(scope="module")
def node(plane: ControlPlane) -> Iterator[Node]:
    if os.geteuid():
        pytest.skip("needs root")
    made = Node(plane)
    try:
        yield made
    finally:
        made.stop()


class Node:
    """A kubelet that joins with a token. There is no runtime: it never gets as far as running pods."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane, self.port = plane, free_port()
        self.directory = plane.directory / "node"
        self.directory.mkdir()
        self.kubeconfig = str(self.directory / "kubelet.conf")
        self.bootstrap = str(self.directory / "bootstrap.conf")
        config = ("kubectl", "config", "--kubeconfig", self.bootstrap)
        plane.run(*config, "set-cluster", "c", "--server", plane.server, "--certificate-authority", plane.ca)
        plane.run(*config, "set-credentials", "u", "--token", new_token(plane))
        plane.run(*config, "set-context", "x", "--cluster", "c", "--user", "u")
        plane.run(*config, "use-context", "x")
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        root = self.directory / "root"
        return self.plane.start(
            "kubelet", f"--bootstrap-kubeconfig={self.bootstrap}", f"--kubeconfig={self.kubeconfig}",
            f"--cert-dir={self.directory}/pki", "--rotate-certificates", "--rotate-server-certificates",
            "--hostname-override=n1", "--node-ip=127.0.0.1", "--address=127.0.0.1", f"--port={self.port}",
            "--healthz-port=0", f"--root-dir={root}", f"--pod-log-dir={self.directory}/logs",
            f"--container-runtime-endpoint=unix://{self.directory}/none.sock", "--cgroups-per-qos=false",
            "--fail-swap-on=false", "--anonymous-auth=true",
        )  # fmt: skip

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def served(self) -> str:
        """The certificate that the kubelet listens with, if it has one that the cluster's CA signed."""
        context = ssl.create_default_context(cafile=self.plane.ca)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), 5) as raw,
                context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
            ):
                return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True) or b"")
        except OSError:
            return ""

    def requests(self, signer: str) -> list[Any]:
        """What it has asked of a signer so far."""
        found: list[Any] = self.plane.get("csr", f"--field-selector=spec.signerName={signer}")["items"]
        return found

    @property
    def current(self) -> Path:
        return self.directory / "pki" / "kubelet-client-current.pem"


def test_a_token_becomes_a_nodes_certificate(plane: ControlPlane, node: Node) -> None:
    plane.until(lambda: Path(node.kubeconfig).exists(), "the kubeconfig", 60)
    who = json.loads(plane.kubectl("auth", "whoami", "-o", "json", config=node.kubeconfig))["status"]["userInfo"]
    assert who["username"] == "system:node:n1"
    assert who["groups"] == ["system:nodes", "system:authenticated"]
    (made,) = node.requests(KUBELET_CLIENT)
    assert made["metadata"]["name"].startswith("node-csr-")
    assert made["spec"]["username"].startswith("system:bootstrap:")
    assert made["status"]["conditions"][0]["reason"] == "AutoApproved"
    assert node.current.is_symlink()
    assert node.current.stat().st_mode & 0o777 == 0o600
    assert plane.until(lambda: plane.kubectl("get", "nodes", "-o", "name") == "node/n1", "the node")


def test_the_kubelet_serves_with_the_certificate_that_was_approved(plane: ControlPlane, node: Node) -> None:
    (asked,) = plane.until(lambda: node.requests(KUBELET_SERVING), "the request for a serving certificate", 60)
    assert asked["spec"]["username"] == "system:node:n1"
    assert node.served() == ""
    plane.kubectl("certificate", "approve", asked["metadata"]["name"])
    pem = plane.until(node.served, "a certificate that the kubelet shows")
    names = x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(names.value) == [x509.DNSName("n1"), certificates.ip("127.0.0.1")]


def test_a_kubelet_that_starts_again_asks_for_nothing(plane: ControlPlane, node: Node) -> None:
    before = plane.kubectl("get", "csr", "-o", "name")
    shown = node.served()
    node.stop()
    node.process = node.start()
    assert plane.until(node.served, "the kubelet") == shown
    assert plane.kubectl("get", "csr", "-o", "name") == before


def test_a_certificate_that_grows_old_is_renewed_while_the_kubelet_runs(plane: ControlPlane, node: Node) -> None:
    node.stop()
    private = certificates.key()
    asked = x509.load_pem_x509_csr(certificates.request("system:node:n1", ["system:nodes"], private=private))
    authority = Authority.read(plane.ca, str(plane.authority.key_path))
    # Nine and a half of ten days are over.
    begun = clock.now() - timedelta(days=9, hours=12)
    old = issue(authority, asked, ("digital signature", "client auth"), timedelta(days=10), begun)
    node.current.unlink()
    node.current.write_bytes(old + certificates.key_pem(private))
    before = {one["metadata"]["name"] for one in node.requests(KUBELET_CLIENT)}
    node.process = node.start()
    plane.until(node.current.is_symlink, "the new certificate", 60)
    new = x509.load_pem_x509_certificate(node.current.read_bytes())
    assert new.not_valid_after_utc - clock.now() > timedelta(days=360)
    (made,) = [one for one in node.requests(KUBELET_CLIENT) if one["metadata"]["name"] not in before]
    assert made["spec"]["username"] == "system:node:n1"
    said = made["status"]["conditions"][0]["message"]
    assert said == "Auto approving self kubelet client certificate after SubjectAccessReview."
    assert node.process.poll() is None
