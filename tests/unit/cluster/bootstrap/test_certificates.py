"""Three CAs and what they issue, as openssl and kubeadm's readers would see it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kybern.client import kubeconfig
from kybern.cluster.bootstrap import certificates
from kybern.cluster.layout import JOINED, Layout, Settings
from kybern.cluster.pki import identity_of

SETTINGS = Settings("one", "192.0.2.10", role=JOINED, server="api.example.org:6443")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("init"))
    layout.make()
    certificates.make(layout, SETTINGS, ["extra.example.org"])
    certificates.make_kubeconfigs(layout, SETTINGS, first=True)
    return layout


def openssl(*words: str) -> str:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=True).stdout


def test_openssl_follows_each_certificate_to_its_ca(layout: Layout) -> None:
    for one in certificates.found(layout):
        if one.signer and one.path.suffix == ".crt":
            said = openssl("verify", "-x509_strict", "-CAfile", str(layout.pki / f"{one.signer}.crt"), str(one.path))
            assert said.endswith("OK\n")
    assert openssl("x509", "-in", str(layout.pki / "ca.crt"), "-noout", "-subject").strip() == "subject=CN = kubernetes"


def test_the_server_answers_to_every_name(layout: Layout) -> None:
    said = openssl("x509", "-in", str(layout.pki / "apiserver.crt"), "-noout", "-ext", "subjectAltName")
    for name in ("DNS:api.example.org", "DNS:extra.example.org", "DNS:kubernetes.default.svc.cluster.local",
                 "IP Address:10.96.0.1", "IP Address:192.0.2.10", "DNS:one"):  # fmt: skip
        assert name in said


def test_private_keys_are_the_owners_only(layout: Layout) -> None:
    keys = [*layout.pki.rglob("*.key"), *layout.root.glob("kubeconfig/*")]
    assert len(keys) > 15
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def test_administrators_lose_their_rights_with_their_binding_but_one(layout: Layout) -> None:
    def organization(user: str) -> str:
        pem = kubeconfig.load(layout.kubeconfig(user)).cert_data.decode()
        done = subprocess.run(
            ["openssl", "x509", "-noout", "-subject"], input=pem, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert organization("admin") == "subject=O = kubeadm:cluster-admins, CN = kubernetes-admin"
    assert organization("super-admin") == "subject=O = system:masters, CN = kubernetes-super-admin"
    assert organization("kubelet") == "subject=O = system:nodes, CN = system:node:one"


def test_controllers_go_to_the_server_beside_them(layout: Layout) -> None:
    assert kubeconfig.load(layout.kubeconfig("scheduler")).server == "https://192.0.2.10:6443"
    assert kubeconfig.load(layout.kubeconfig("admin")).server == "https://api.example.org:6443"


def test_renewing_keeps_whom_it_speaks_for(layout: Layout) -> None:
    before = {one.name: one for one in certificates.found(layout)}
    for name in ("apiserver", "etcd-peer", "admin.conf"):
        certificates.renew(layout, before[name])
    after = {one.name: one for one in certificates.found(layout)}
    for name, one in before.items():
        same = one.certificate.serial_number == after[name].certificate.serial_number
        assert same is (name not in ("apiserver", "etcd-peer", "admin.conf"))
        if one.signer:
            assert identity_of(one.certificate) == identity_of(after[name].certificate)
    assert kubeconfig.load(layout.kubeconfig("admin")).server == "https://api.example.org:6443"


def test_making_again_changes_nothing(layout: Layout, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in layout.pki.rglob("*.crt")}
    certificates.make(layout, SETTINGS, ["extra.example.org"])
    assert before == {path: path.read_bytes() for path in layout.pki.rglob("*.crt")}
