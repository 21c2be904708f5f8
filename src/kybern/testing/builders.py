"""Objects for tests, as short as they can be said. Every function takes the fields that tests vary."""

from __future__ import annotations

from typing import Any

from kybern.api.types import Object

_IMAGE = "registry.example/app:1"


def pod(name: str, namespace: str = "default", *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """A pod of one container; `spec` adds to or replaces its fields."""
    meta: Object = {"name": name, "namespace": namespace}
    if labels:
        meta["labels"] = labels
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container()], **spec}}


def container(name: str = "app", image: str = _IMAGE, **fields: Any) -> Object:
    """A container."""
    return {"name": name, "image": image, **fields}


def template(labels: dict[str, str], *, image: str = _IMAGE, **spec: Any) -> Object:
    """A pod template."""
    return {"metadata": {"labels": labels}, "spec": {"containers": [container(image=image)], **spec}}


def deployment(
    name: str,
    namespace: str = "default",
    *,
    replicas: int = 1,
    image: str = _IMAGE,
    pod_spec: Object | None = None,
    **spec: Any,
) -> Object:
    """A Deployment whose pods carry the label app=<name>; `spec` adds fields (strategy, minReadySeconds, ...)."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template(labels, image=image, **(pod_spec or {})),
            **spec,
        },
    }


def service(name: str, namespace: str = "default", *, port: int = 80, **spec: Any) -> Object:
    """A Service for the pods labelled app=<name>."""
    body = {"selector": {"app": name}, "ports": [{"port": port}], **spec}
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": body}


def namespace(name: str) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def node(name: str, *, cpu: str = "4", memory: str = "8Gi", pods: int = 110, **labels: str) -> Object:
    """A node without conditions: whoever plays its kubelet posts them."""
    resources = {"cpu": cpu, "memory": memory, "pods": str(pods), "ephemeral-storage": "100Gi"}
    own = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        **labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": own},
        "status": {"capacity": resources, "allocatable": resources},
    }
