"""What a cluster of `init` holds for those who join it: how it is set up, and leave to read that.

Names and contents are kubeadm's, so that its readers find what they look for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import yaml

from kybern import VERSION
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.cluster.bootstrap.certificates import ADMINS
from kybern.cluster.joining import DEFAULT_GROUP
from kybern.process.daemon import OperatorError

NAMESPACE = "kube-system"
CONFIG_MAP, CERTS_SECRET = "kubeadm-config", "kubeadm-certs"
RBAC = "rbac.authorization.k8s.io"
_CONFIG_KEY = "ClusterConfiguration"
_PLURALS = {
    "ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings", "ConfigMap": "configmaps",
    "DaemonSet": "daemonsets", "Deployment": "deployments", "Role": "roles", "RoleBinding": "rolebindings",
    "Secret": "secrets", "Service": "services", "ServiceAccount": "serviceaccounts",
}  # fmt: skip


@dataclass(frozen=True)
class ClusterConfig:
    """What `init` decided for all nodes."""

    endpoint: str
    """host:port of the API for all; empty: the first control plane's own, and no other can join."""
    cluster_cidr: str
    service_cidr: str
    cluster_domain: str
    signing_duration: str = "8760h0m0s"
    cloud_provider: str = ""
    server_names: tuple[str, ...] = ()
    """More names of the API servers."""

    @property
    def dns_ip(self) -> str:
        """The tenth address of Services."""
        return str(ip_network(self.service_cidr)[10])

    def config_map(self) -> Object:
        arguments = {"cluster-signing-duration": self.signing_duration, "cloud-provider": self.cloud_provider}
        document = {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": _CONFIG_KEY,
            "clusterName": "kubernetes",
            "kubernetesVersion": VERSION,
            "controlPlaneEndpoint": self.endpoint,
            "networking": {
                "dnsDomain": self.cluster_domain, "podSubnet": self.cluster_cidr, "serviceSubnet": self.service_cidr,
            },
            "apiServer": {"certSANs": list(self.server_names)},
            "controllerManager": {
                "extraArgs": [{"name": name, "value": value} for name, value in arguments.items() if value]
            },
        }  # fmt: skip
        text = yaml.safe_dump(document, sort_keys=False)
        meta = {"name": CONFIG_MAP, "namespace": NAMESPACE}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {_CONFIG_KEY: text}}

    @classmethod
    def read(cls, config_map: Object) -> ClusterConfig:
        """Raises OperatorError for one that says too little."""
        try:
            document: dict[str, Any] = yaml.safe_load(config_map["data"][_CONFIG_KEY])
            networking = document["networking"]
            arguments = {one["name"]: one["value"] for one in document["controllerManager"]["extraArgs"]}
            return cls(
                document.get("controlPlaneEndpoint") or "",
                networking["podSubnet"],
                networking["serviceSubnet"],
                networking["dnsDomain"],
                arguments.get("cluster-signing-duration", cls.signing_duration),
                arguments.get("cloud-provider", ""),
                tuple(document["apiServer"]["certSANs"]),
            )
        except (KeyError, TypeError, yaml.YAMLError) as error:
            told = f"ConfigMap {NAMESPACE}/{CONFIG_MAP} doesn't say how the cluster is set up ({error!r})"
            raise OperatorError(f"{told}; was it made by `kybern init`?") from error


async def apply(client: Client, wanted: Iterable[Object]) -> None:
    """Have the objects be as they are wanted, in their order. Raises APIError."""
    for one in wanted:
        meta, kind = one["metadata"], one["kind"]
        resource = client.resource(one["apiVersion"], _PLURALS[kind], namespaced="namespace" in meta)
        await resource.patch(
            meta["name"], one, meta.get("namespace", ""), type="apply", field_manager="kybern-init", force=True
        )


def administrators() -> Object:
    """What makes members of ADMINS administrators."""
    return cluster_binding(ADMINS, "cluster-admin", group(ADMINS))


def for_joiners() -> list[Object]:
    """Holders of tokens may read how the cluster is set up and whether a node is there; nodes may read the former."""
    reader = "kubeadm:nodes-kubeadm-config"
    return [
        *_reader(reader, "configmaps", CONFIG_MAP, [group(DEFAULT_GROUP), group("system:nodes")]),
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "kubeadm:get-nodes"},
            "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}],
        },
        cluster_binding("kubeadm:get-nodes", "kubeadm:get-nodes", group(DEFAULT_GROUP)),
    ]


def for_control_planes() -> list[Object]:
    """Holders of tokens may read the encrypted certificates; they need the key, too."""
    return _reader("kubeadm:kubeadm-certs", "secrets", CERTS_SECRET, [group(DEFAULT_GROUP)])


def _reader(name: str, plural: str, only: str, subjects: list[Object]) -> list[Object]:
    meta = {"name": name, "namespace": NAMESPACE}
    rules = [{"apiGroups": [""], "resources": [plural], "resourceNames": [only], "verbs": ["get"]}]
    return [
        {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
            "subjects": subjects,
        },
    ]


def group(name: str) -> Object:
    return {"apiGroup": RBAC, "kind": "Group", "name": name}


def service_account(name: str) -> Object:
    return {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}


def cluster_binding(name: str, role: str, *subjects: Object) -> Object:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": list(subjects),
    }
