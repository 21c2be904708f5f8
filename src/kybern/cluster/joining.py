"""What a cluster needs before nodes can join it with a bootstrap token: its address and CA for all to read, and leave
for holders of tokens to ask for a node's certificate. Names and groups are kubeadm's.
"""

from __future__ import annotations

import base64
import hashlib

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kybern.api import bootstraptokens as tokens
from kybern.api.errors import AlreadyExists
from kybern.api.types import Object
from kybern.client.rest import Client

DEFAULT_GROUP = "system:bootstrappers:kubeadm:default-node-token"
_RBAC = "rbac.authorization.k8s.io"
_REQUESTS = "system:certificates.k8s.io:certificatesigningrequests"
_READER = "kubeadm:bootstrap-signer-clusterinfo"
_BINDINGS = {
    "kubeadm:kubelet-bootstrap": ("system:node-bootstrapper", DEFAULT_GROUP),
    "kubeadm:node-autoapprove-bootstrap": (f"{_REQUESTS}:nodeclient", DEFAULT_GROUP),
    "kubeadm:node-autoapprove-certificate-rotation": (f"{_REQUESTS}:selfnodeclient", "system:nodes"),
}
"""ClusterRoleBinding -> (ClusterRole, group)."""


async def prepare(client: Client, server: str, ca: bytes) -> None:
    """Make what is missing; cluster-info also gets `server` and `ca` (PEM) if it has others. Raises APIError."""
    maps, info = client.resource("v1", "configmaps"), cluster_info(server, ca)
    try:
        await maps.create(info)
    except AlreadyExists:
        await maps.patch(tokens.CLUSTER_INFO, {"data": info["data"]}, tokens.CLUSTER_INFO_NAMESPACE)
    for plural, made in (("roles", _reader()), ("rolebindings", _reader_binding())):
        await _ensure(client, plural, made, namespaced=True)
    for name, (role, group) in _BINDINGS.items():
        await _ensure(client, "clusterrolebindings", _binding(name, role, group), namespaced=False)


async def _ensure(client: Client, plural: str, made: Object, *, namespaced: bool) -> None:
    try:
        await client.resource(f"{_RBAC}/v1", plural, namespaced=namespaced).create(made)
    except AlreadyExists:
        return


def ca_hash(ca: bytes) -> str:
    """`sha256:...` over the public key of the CA: how who joins knows it again."""
    key = x509.load_pem_x509_certificate(ca).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def command(server: str, token: str, ca: bytes) -> str:
    """What to type on a machine that is to join."""
    hashed = f"--discovery-token-ca-cert-hash {ca_hash(ca)}"
    return f"kybern join {server.removeprefix('https://')} --token {token} {hashed}"


def cluster_info(server: str, ca: bytes) -> Object:
    """A kubeconfig without a user, as a ConfigMap; the bootstrap signer signs it."""
    cluster = {"certificate-authority-data": base64.b64encode(ca).decode(), "server": server}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "", "cluster": cluster}],
        "contexts": None,
        "current-context": "",
        "users": None,
    }
    meta = {"name": tokens.CLUSTER_INFO, "namespace": tokens.CLUSTER_INFO_NAMESPACE}
    data = {"kubeconfig": yaml.safe_dump(content)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def _reader() -> Object:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [tokens.CLUSTER_INFO], "verbs": ["get"]}
    meta = {"name": _READER, "namespace": tokens.CLUSTER_INFO_NAMESPACE}
    return {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "metadata": meta, "rules": [rule]}


def _reader_binding() -> Object:
    # Who joins has no identity yet; the signature is what makes the content trustworthy.
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": _READER, "namespace": tokens.CLUSTER_INFO_NAMESPACE},
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": _READER},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": "system:anonymous"}],
    }


def _binding(name: str, role: str, group: str) -> Object:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group}],
    }
