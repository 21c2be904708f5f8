"""The certificates and kubeconfigs of a control plane that is pods: three CAs, kubeadm's names of files and people.

Source: Kubernetes documentation, "PKI certificates and requirements".
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import yaml
from cryptography import x509

from kybern.client import kubeconfig
from kybern.cluster.identity import Identity
from kybern.cluster.layout import Layout, Settings, write_private
from kybern.cluster.pki import Authority, identity_of, signing_key, write_kubeconfig
from kybern.kubelet.certificates import Kept
from kybern.process.daemon import OperatorError

CA, ETCD_CA, FRONT_PROXY_CA = "ca", "etcd/ca", "front-proxy-ca"
AUTHORITIES = {CA: "kubernetes", ETCD_CA: "etcd-ca", FRONT_PROXY_CA: "front-proxy-ca"}
"""Path below pki, without its ending -> common name."""
ADMINS = "kubeadm:cluster-admins"
"""The group of the everyday administrator; RBAC can take its rights away, unlike those of system:masters."""
SHARED = (*(f"{stem}.{end}" for stem in AUTHORITIES for end in ("crt", "key")), "sa.key", "sa.pub")
"""Files that all control planes have in common."""
USERS = {
    "admin": Identity("kubernetes-admin", (ADMINS,)),
    "controller-manager": Identity("system:kube-controller-manager"),
    "scheduler": Identity("system:kube-scheduler"),
}
SUPER_ADMIN = Identity("kubernetes-super-admin", ("system:masters",))
CLOUD = Identity("system:cloud-controller-manager")


def make(layout: Layout, settings: Settings, more_names: Sequence[str] = ()) -> None:
    """Everything of one control plane in `pki`; CAs and keys that are there are kept. Raises OperatorError."""
    authorities = {stem: authority(layout.pki, stem) for stem in AUTHORITIES}
    for stem, (signer, identity) in leaves(settings, more_names).items():
        authorities[signer].issue(stem, identity, layout.pki)
    signing_key(layout.pki)


def authority(pki: Path, stem: str) -> Authority:
    """One of AUTHORITIES, made at first use. Raises OperatorError."""
    return Authority(pki, AUTHORITIES[stem], stem)


def leaves(settings: Settings, more_names: Sequence[str] = ()) -> dict[str, tuple[str, Identity]]:
    """Path below pki, without its ending -> CA and identity. `more_names`: what else the API server is called."""
    local = (settings.node_name, settings.node_ip, "localhost", "127.0.0.1")
    member = Identity(settings.node_name, names=local)
    return {
        "apiserver": (CA, Identity("kube-apiserver", names=_server_names(settings, more_names), client=False)),
        "apiserver-kubelet-client": (CA, Identity("kube-apiserver-kubelet-client", (ADMINS,))),
        "controller-manager": (CA, Identity("kube-controller-manager", names=local, client=False)),
        "scheduler": (CA, Identity("kube-scheduler", names=local, client=False)),
        "apiserver-etcd-client": (ETCD_CA, Identity("kube-apiserver-etcd-client")),
        "etcd/server": (ETCD_CA, member),
        "etcd/peer": (ETCD_CA, member),
        "etcd/healthcheck-client": (ETCD_CA, Identity("kube-etcd-healthcheck-client")),
        "front-proxy-client": (FRONT_PROXY_CA, Identity("front-proxy-client")),
        **({"cloud-controller-manager": (CA, Identity("cloud-controller-manager", names=local, client=False))}
           if settings.cloud_provider else {}),
    }  # fmt: skip


def _server_names(settings: Settings, more: Sequence[str]) -> tuple[str, ...]:
    kubernetes_ip = str(next(ip_network(settings.service_cidr).hosts()))
    services = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    own = (settings.node_name, settings.node_ip, settings.endpoint.rpartition(":")[0].strip("[]"))
    names = (*services, f"kubernetes.default.svc.{settings.cluster_domain}", kubernetes_ip, *own, "localhost")
    return tuple(dict.fromkeys((*names, "127.0.0.1", *more)))


# Kubeconfigs


def make_kubeconfigs(layout: Layout, settings: Settings, *, first: bool) -> None:
    """Those of a control plane; of the `first` one also the super-admin's and its kubelet's, which has nobody yet to
    ask for a certificate. Controllers and scheduler go to the API server beside them. Raises OperatorError."""
    local, ca = f"{settings.node_ip}:{settings.secure_port}", authority(layout.pki, CA)
    kubeconfig_for(layout, "admin", settings.endpoint, ca, USERS["admin"])
    for user in ("controller-manager", "scheduler"):
        kubeconfig_for(layout, user, local, ca, USERS[user])
    if settings.cloud_provider:
        kubeconfig_for(layout, "cloud-controller-manager", local, ca, CLOUD)
    if first:
        kubeconfig_for(layout, "super-admin", local, ca, SUPER_ADMIN)
        _kubelet(layout, settings.node_name, local, ca)


def kubeconfig_for(layout: Layout, user: str, endpoint: str, ca: Authority, identity: Identity) -> None:
    """A kubeconfig with a new certificate in it."""
    with tempfile.TemporaryDirectory(dir=layout.pki) as scratch:
        certificate, key = ca.issue(user, identity, Path(scratch))
        write_kubeconfig(
            layout.kubeconfig(user), f"https://{endpoint}", ca, certificate, key, identity.common_name
        )


def _kubelet(layout: Layout, node_name: str, endpoint: str, ca: Authority) -> None:
    """The kubelet's first certificate goes where it keeps those it renews; its kubeconfig names the newest."""
    identity = Identity(f"system:node:{node_name}", ("system:nodes",))
    kept = Kept(layout.root / "kubelet" / "pki", "kubelet-client")
    kubeconfig_for(layout, "kubelet", endpoint, ca, identity)
    made = kubeconfig.load(layout.kubeconfig("kubelet"))
    kept.save(made.cert_data, made.key_data)
    document = yaml.safe_load(layout.kubeconfig("kubelet").read_text())
    document["users"][0]["user"] = {"client-certificate": str(kept.current), "client-key": str(kept.current)}
    write_private(layout.kubeconfig("kubelet"), yaml.safe_dump(document, sort_keys=False).encode())


# What there is, and renewing it


@dataclass(frozen=True)
class Found:
    """A certificate on disk. `name` is kubeadm's for it; `path` the file it is in, a kubeconfig's or its own."""

    name: str
    path: Path
    certificate: x509.Certificate
    signer: str = ""
    """A key of AUTHORITIES; empty for a CA itself."""


def found(layout: Layout) -> Iterator[Found]:
    """Kubeconfigs, then leaves, then CAs. Raises OperatorError for those that can't be read."""
    for user in ("admin", "super-admin", "controller-manager", "scheduler", "cloud-controller-manager"):
        path = layout.kubeconfig(user)
        if path.exists():
            yield Found(path.name, path, _parse(path, kubeconfig.load(path).cert_data), CA)
    for stem, signer in _signers().items():
        path = layout.pki / f"{stem}.crt"
        if path.exists():
            yield Found(stem.replace("/", "-"), path, _parse(path, path.read_bytes()), signer)
    for stem in AUTHORITIES:
        path = layout.pki / f"{stem}.crt"
        yield Found(stem.replace("/", "-"), path, _parse(path, path.read_bytes()))


def _signers() -> dict[str, str]:
    anyone = Settings("node", "192.0.2.1", cloud_provider="external")
    return {stem: signer for stem, (signer, _) in leaves(anyone).items()}


def _parse(path: Path, pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise OperatorError(f"{path} holds no certificate that can be read: {error}") from error


def renew(layout: Layout, one: Found) -> None:
    """A new certificate and key for the same person and names. Raises OperatorError."""
    ca, identity = authority(layout.pki, one.signer), identity_of(one.certificate)
    if one.path.suffix == ".crt":
        ca.issue(str(one.path.relative_to(layout.pki).with_suffix("")), identity, layout.pki, anew=True)
        return
    server = kubeconfig.load(one.path).server
    kubeconfig_for(layout, one.path.stem, server.removeprefix("https://"), ca, identity)
