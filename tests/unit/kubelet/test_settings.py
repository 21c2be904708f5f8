"""Flags and the configuration file."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kybern.kubelet import command, settings
from kybern.kubelet.config import Config
from kybern.kubelet.http.listing import configuration
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError
from tests.gates import switched
from tests.unit.kubelet.making import config as plain


def configured(*flags: str) -> Config:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    command.add_flags(parser)
    return command.configure(parser.parse_args(["--fail-swap-on=false", *flags]))


def written(tmp_path: Path, body: str) -> str:
    file = tmp_path / "kubelet.yaml"
    file.write_text("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n" + body)
    return f"--config={file}"


def test_a_cloud_is_external_or_none() -> None:
    assert not configured().external_cloud
    found = configured("--cloud-provider=external", "--node-ip=192.0.2.1")
    assert found.external_cloud
    assert found.node_ips_given
    with pytest.raises(OperatorError, match="--cloud-provider: 'aws' is not external"):
        configured("--cloud-provider=aws")


def test_flags_become_a_configuration() -> None:
    found = configured(
        "--hostname-override=n1", "--node-ip=192.0.2.1,fd00::1", "--node-labels=a=b,c=", "--root-dir=/r",
        "--pod-log-dir=/l/pods", "--cni-conf-dir=/c", "--cluster-dns=10.96.0.10", "--max-pods=7",
        "--anonymous-auth=false",
        "--register-with-taints=k=v:NoSchedule,x:NoExecute", "--eviction-hard=memory.available<1Gi,nodefs.available<5%",
        "--system-reserved=cpu=100m,memory=1Gi", "--sync-frequency=1m30s", "--authentication-token-webhook",
    )  # fmt: skip
    assert found.node_name == "n1" and found.node_ips == ("192.0.2.1", "fd00::1")
    assert found.node_labels == {"a": "b", "c": ""}
    assert found.node_taints == [
        {"key": "k", "value": "v", "effect": "NoSchedule"}, {"key": "x", "effect": "NoExecute"}
    ]  # fmt: skip
    assert (found.paths.root, found.paths.container_logs) == (Path("/r"), Path("/l/containers"))
    assert (found.cni_conf_dir, found.cert_dir) == (Path("/c"), Path("/r/pki"))
    assert (found.eviction_memory, found.eviction_disk) == ("1Gi", 0.05)
    assert (found.max_pods, found.anonymous_auth, found.token_webhook, found.sync_period) == (7, False, True, 90.0)
    assert found.system_reserved == {"cpu": "100m", "memory": "1Gi"}


def test_without_flags_upstreams_defaults_hold() -> None:
    found = configured()
    assert found.paths.root == Path("/var/lib/kubelet")
    assert found.paths.pod_logs == Path("/var/log/pods")
    assert found.paths.container_logs == Path("/var/log/containers")
    assert (found.port, found.healthz_port, found.max_pods, found.anonymous_auth) == (10250, 10248, 110, True)


def test_a_file_counts_where_no_flag_does(tmp_path: Path) -> None:
    body = """
authentication: {anonymous: {enabled: true}, x509: {clientCAFile: /ca.crt}}
authorization: {mode: AlwaysAllow}
clusterDNS: [10.96.0.10]
evictionHard: {memory.available: 200Mi}
staticPodPath: /manifests
syncFrequency: 2m
maxPods: 20
featureGates: {}
"""
    found = configured(written(tmp_path, body), "--max-pods=30")
    assert (found.anonymous_auth, found.client_ca_file, found.authorization_mode) == (True, "/ca.crt", "AlwaysAllow")
    assert (found.cluster_dns, found.eviction_memory) == (("10.96.0.10",), "200Mi")
    assert (found.manifest_path, found.sync_period, found.max_pods) == ("/manifests", 120.0, 30)


def test_feature_gates_of_the_file_yield_to_those_of_flags(tmp_path: Path) -> None:
    file = written(tmp_path, "featureGates: {MemoryQoS: true, PodsAPI: true}\n")
    with switched():
        found = configured(file, "--feature-gates=PodsAPI=false,EventedPLEG=true")
        assert configuration(found)["featureGates"] == {"MemoryQoS": True, "EventedPLEG": True}
        with pytest.raises(OperatorError, match="--feature-gates: unrecognized feature gate: Nope"):
            configured(written(tmp_path, "featureGates: {Nope: true}\n"))


def test_a_file_is_safe_where_it_says_nothing(tmp_path: Path) -> None:
    found = configured(written(tmp_path, ""))
    assert (found.anonymous_auth, found.token_webhook, found.authorization_mode) == (False, True, "Webhook")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--anonymous-auth=maybe", "--anonymous-auth: 'maybe' is neither true nor false"),
        ("--sync-frequency=soon", "--sync-frequency: 'soon' is no duration"),
        ("--register-with-taints=a=b", "--register-with-taints: 'a=b' is not of the form key=value:effect"),
        ("--node-labels=a", "--node-labels: 'a' is not of the form key=value"),
        ("--max-pods=many", "--max-pods: "),
        ("--eviction-hard=pid.available<5", "'pid.available' is not watched"),
        ("--cgroup-driver=systemd", "only the cgroup driver cgroupfs"),
        ("--read-only-port=10255", "there is no read-only port"),
        ("--authorization-mode=RBAC", "RBAC is neither AlwaysAllow nor Webhook"),
        ("--config=/nowhere.yaml", "can't read --config /nowhere.yaml"),
    ],
)
def test_a_wrong_flag_is_one_line_about_it(flag: str, said: str) -> None:
    with pytest.raises(OperatorError, match=re.escape(said)) as error:
        configured(flag)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("cpuManagerPolicy: static", "unknown or unsupported field cpuManagerPolicy"),
        ("syncFrequency: often", "syncFrequency: 'often' is no duration"),
        ("featureGates: {MemoryQoS: often}", "featureGates: 'often' is neither true nor false"),
        ("featureGates: [MemoryQoS]", "featureGates: "),
        ("authentication: {anonymous: {enabled: perhaps}}", "authentication.anonymous.enabled"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(OperatorError, match=re.escape(said)) as error:
        configured(written(tmp_path, body))
    assert str(tmp_path) in str(error.value)


def test_swap_must_be_off_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings.machine, "swaps", lambda: ["/swapfile"])
    configured("--fail-swap-on=false")
    with pytest.raises(OperatorError, match=r"swap is on \(/swapfile\)"):
        configured("--fail-swap-on=true")


def test_an_expired_certificate_is_told_before_anything_is_tried(tmp_path: Path) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), clock.now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "system:node:n1")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = builder.serial_number(1).not_valid_before(now - timedelta(days=9)).not_valid_after(now - timedelta(days=2))
    (tmp_path / "c.crt").write_bytes(dated.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "c.key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {client-certificate: c.crt, client-key: c.key}}]\n"
    )
    with pytest.raises(OperatorError, match=f"expired on {now - timedelta(days=2):%Y-%m-%d}"):
        command.connect(plain(kubeconfig=str(kubeconfig)))
