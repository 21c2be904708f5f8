"""DNS as a Deployment, proxy and network agent as DaemonSets: what a cluster of `init` runs besides its control plane.
"""

from __future__ import annotations

import yaml

from kybern.api.types import Object
from kybern.cluster import addons, images
from kybern.cluster.bootstrap import objects
from kybern.cluster.bootstrap.manifests import ENVIRONMENT
from kybern.cluster.layout import Settings
from kybern.cluster.several import ROLE_LABEL

NAMESPACE = objects.NAMESPACE
DNS, PROXY, NETWORK = "kube-dns", "kube-proxy", "kybern-network"
_CONFIG_DIR = "/var/lib/kybern-agent"
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_DNS_LABELS = {"k8s-app": DNS}


def wanted(settings: Settings) -> list[Object]:
    """All of it, what others need first."""
    return [*proxy(settings), *network(settings), *dns(settings)]


# DNS


def dns(settings: Settings) -> list[Object]:
    """Two servers, and the Service every pod has in its resolv.conf."""
    service = addons.dns_service(settings)
    service["spec"]["selector"] = _DNS_LABELS
    for port in service["spec"]["ports"]:
        port["targetPort"] = port["name"]
    return [_account(DNS), addons.dns_role(), addons.dns_binding(), service, _dns_deployment(settings)]


def _dns_deployment(settings: Settings) -> Object:
    container = _container(
        "dns",
        ["dns", f"--cluster-domain={settings.cluster_domain}", "--healthz-bind-address=0.0.0.0"],
        ports=[
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            {"name": "health", "containerPort": 10054, "protocol": "TCP"},
        ],
        readinessProbe={"httpGet": {"path": "/readyz", "port": "health"}, "periodSeconds": 2},
        livenessProbe={"httpGet": {"path": "/livez", "port": "health"}, "initialDelaySeconds": 20, "timeoutSeconds": 5},
        resources={"requests": {"cpu": "100m", "memory": "70Mi"}},
    )
    spec = {
        "serviceAccountName": DNS,
        "priorityClassName": "system-cluster-critical",
        # The node's resolv.conf, which says who knows other names.
        "dnsPolicy": "Default",
        "tolerations": [
            {"key": "CriticalAddonsOnly", "operator": "Exists"},
            {"key": ROLE_LABEL, "effect": "NoSchedule"},
        ],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [_apart()]}},
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": DNS, "namespace": NAMESPACE, "labels": _DNS_LABELS},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": _DNS_LABELS},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {"metadata": {"labels": _DNS_LABELS}, "spec": spec},
        },
    }


def _apart() -> Object:
    term = {"labelSelector": {"matchLabels": _DNS_LABELS}, "topologyKey": "kubernetes.io/hostname"}
    return {"weight": 100, "podAffinityTerm": term}


# Agents on every node


def proxy(settings: Settings) -> list[Object]:
    """The Service proxy."""
    flags = ["proxy", f"--cluster-cidr={settings.cluster_cidr}"]
    health = {"httpGet": {"path": "/livez", "port": 10256}, "periodSeconds": 10, "failureThreshold": 5}
    binding = objects.cluster_binding("kubeadm:node-proxier", "system:node-proxier", objects.service_account(PROXY))
    return [_account(PROXY), binding, *_agent(settings, PROXY, flags, health)]


def network(settings: Settings) -> list[Object]:
    """The agent that keeps routes to the pods of other nodes."""
    flags = ["network", f"--mode={settings.network_mode}"]
    health = {
        "httpGet": {"host": "127.0.0.1", "path": "/livez", "port": 10262}, "periodSeconds": 10, "failureThreshold": 5,
    }  # fmt: skip
    role = addons.network_role()
    binding = objects.cluster_binding(
        role["metadata"]["name"], role["metadata"]["name"], objects.service_account(NETWORK)
    )
    return [_account(NETWORK), role, binding, *_agent(settings, NETWORK, flags, health)]


def _agent(settings: Settings, name: str, flags: list[str], health: Object) -> list[Object]:
    """A DaemonSet in the nodes' own network, and the kubeconfig it goes by: it can't reach Services before it runs."""
    labels, config = {"k8s-app": name}, f"{_CONFIG_DIR}/kubeconfig.conf"
    container = _container(
        name,
        [*flags, f"--kubeconfig={config}", "--hostname-override=$(NODE_NAME)"],
        livenessProbe={**health, "initialDelaySeconds": 20},
        securityContext={"privileged": True},
        volumeMounts=[{"name": "config", "mountPath": _CONFIG_DIR, "readOnly": True}],
    )
    node_name = {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    container["env"] = [*container["env"], node_name]
    spec = {
        "serviceAccountName": name,
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": name}}],
    }
    daemon_set = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    return [_kubeconfig(settings, name), daemon_set]


def _kubeconfig(settings: Settings, name: str) -> Object:
    """The API server's address for all nodes, and the pod's own account."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "default",
                "cluster": {
                    "certificate-authority": f"{_ACCOUNT}/ca.crt", "server": f"https://{settings.endpoint}",
                },
            }
        ],
        "users": [{"name": "default", "user": {"tokenFile": f"{_ACCOUNT}/token"}}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        "current-context": "default",
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"k8s-app": name}},
        "data": {"kubeconfig.conf": yaml.safe_dump(content, sort_keys=False)},
    }


def _account(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}


def _container(name: str, arguments: list[str], **more: object) -> Object:
    command = ["python3", "-m", "kybern", *arguments]
    return {"name": name, "image": images.KYBERN, "imagePullPolicy": "IfNotPresent", "command": command,
            "env": ENVIRONMENT, **more}  # fmt: skip
