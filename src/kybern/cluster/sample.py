"""The sample that `up` deploys through ordinary API calls: three replicas, a Service, and a visitor pod."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.cluster.images import KYBERN

NAMESPACE, NAME = "default", "hello"
PORT = 80
_PYTHON = ["/usr/local/bin/python3", "-m", "kybern.cluster.sample_app"]
_LABELS = {"app.kubernetes.io/name": NAME}
_RESOURCES = {"requests": {"cpu": "10m", "memory": "16Mi"}}
LABEL_SELECTOR = f"app.kubernetes.io/name={NAME}"


def deployment() -> Object:
    """`hello`, three replicas of the sample app."""
    container = {
        "name": "web",
        "image": KYBERN,
        "command": _PYTHON,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
        "resources": _RESOURCES,
    }
    # Ordinary pods stay five minutes with a lost node; the sample is to show where they go.
    tolerations = [
        {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
        for why in ("not-ready", "unreachable")
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 10, "tolerations": tolerations},
            },
        },
    }


def service() -> Object:
    """`hello`, port 80 to the pods' http port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS},
        "spec": {"selector": _LABELS, "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
    }


def visitor(url: str) -> Object:
    """A pod that asks `url` until it answers and prints one JSON line about it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{NAME}-visitor", "namespace": NAMESPACE},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {"name": "visitor", "image": KYBERN, "command": [*_PYTHON, "--visit", url], "resources": _RESOURCES}
            ],
        },
    }
