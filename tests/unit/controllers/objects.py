"""Objects as controllers see them in their caches, as short as they can be said."""

from kybern.process.clock import format_time

NOW = 1_800_000_000.0
"""The time that the fixture `now` sets."""


def ago(seconds):
    return format_time(NOW - seconds)


def pod(name="p", *, node="n", phase="Running", ready=True, ready_for=100, age=1000, restarts=0, labels=None, cost=None,
        going=False, ip="10.0.0.1", ips=None, **spec):  # fmt: skip
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "creationTimestamp": ago(age)}
    meta["labels"] = labels or {"app": "web"}
    if cost is not None:
        meta["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    if going:
        meta["deletionTimestamp"] = ago(0)
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": ago(ready_for)}
    status = {"phase": phase, "conditions": [condition], "containerStatuses": [{"name": "c", "restartCount": restarts}]}
    if addresses := ips or ([ip] if ip else []):
        status |= {"podIP": addresses[0], "podIPs": [{"ip": one} for one in addresses]}
    body = {"containers": [{"name": "c", "image": "i"}], **spec}
    if node:
        body["nodeName"] = node
    return {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": body, "status": status}


def template(image="app:1", **labels):
    return {
        "metadata": {"labels": {"app": "web", **labels}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }


def deployment(replicas=10, *, surge="25%", unavailable="25%", status=None, annotations=None, image="app:1", **spec):
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "d",
            "generation": 1,
            "annotations": annotations or {},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
            "template": template(image),
            **spec,
        },
        "status": status or {},
    }


def replica_set(name, replicas, *, available=None, age=100, image="app:1", annotations=None, **status):
    ready = replicas if available is None else available
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1}
    return {
        "kind": "ReplicaSet",
        "apiVersion": "apps/v1",
        "metadata": {**meta, "creationTimestamp": ago(age), "annotations": annotations or {}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template(image)},
        "status": {
            "replicas": replicas,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": 1,
            "terminatingReplicas": 0,
            **status,
        },
    }


def service(*, ports=None, name="web", **spec):
    """`ports` are Service ports; default one, 80."""
    meta = {"name": name, "namespace": "default", "uid": "s", "creationTimestamp": ago(0), "labels": {"team": "a"}}
    body = {"selector": {"app": "web"}, "ports": [{"port": 80}] if ports is None else ports, "clusterIP": "10.96.0.1"}
    return {"kind": "Service", "apiVersion": "v1", "metadata": meta, "spec": {**body, "ipFamilies": ["IPv4"], **spec}}


def node(name="n", *, ready="True", taints=None, labels=None, **conditions):
    """`conditions` by type, apart from Ready; `ready=None` for a node that never said."""
    stated = {**({"Ready": ready} if ready else {}), **conditions}
    times = {"lastHeartbeatTime": ago(5), "lastTransitionTime": ago(50)}
    listed = [{"type": type, "status": status, "reason": "r", **times} for type, status in stated.items()]
    meta = {"name": name, "uid": f"uid-{name}", "creationTimestamp": ago(500), "labels": labels or {}}
    spec = {"taints": taints} if taints else {}
    return {"kind": "Node", "apiVersion": "v1", "metadata": meta, "spec": spec, "status": {"conditions": listed}}
