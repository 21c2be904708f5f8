"""The flow schemas and priority levels of every cluster: two of each it can't do without, and what is suggested.

Source: Kubernetes documentation, "API Priority and Fairness", "Defaults"; KEP-1040.
"""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.types import Object

GROUP = "flowcontrol.apiserver.k8s.io"
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
"""The annotation that says whether the server keeps the spec as it is here."""
EXEMPT, CATCH_ALL = "exempt", "catch-all"
MANDATORY = (EXEMPT, CATCH_ALL)
BY_USER, BY_NAMESPACE = "ByUser", "ByNamespace"
_EVERYONE = ("system:unauthenticated", "system:authenticated")


def priority_levels() -> list[Object]:
    """The PriorityLevelConfigurations, mandatory ones first."""
    shapes = (
        # name, shares, lendable percent, (queues, hand size, queue length) or None to reject
        (CATCH_ALL, 5, 0, None),
        ("system", 30, 33, (64, 6, 50)),
        ("node-high", 40, 25, (64, 6, 50)),
        ("leader-election", 10, 0, (16, 4, 50)),
        ("workload-high", 40, 50, (128, 6, 50)),
        ("workload-low", 100, 90, (128, 6, 50)),
        ("global-default", 20, 50, (128, 6, 50)),
    )
    exempt = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    return [_object("PriorityLevelConfiguration", EXEMPT, exempt)] + [
        _object("PriorityLevelConfiguration", name, _limited(shares, lendable, queuing))
        for name, shares, lendable, queuing in shapes
    ]


def flow_schemas() -> list[Object]:
    """The FlowSchemas, mandatory ones first."""
    leases = _rule(("get", "create", "update"), "coordination.k8s.io", ("leases",))
    endpoints = _rule(("get", "create", "update"), "", ("endpoints",))
    nodes = _rule(("*",), "", ("nodes", "nodes/status"), cluster=True)
    everywhere = _accounts("*")
    probes = [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]
    manager, scheduler = "system:kube-controller-manager", "system:kube-scheduler"
    controllers = [*_users(manager), *_accounts("endpoint-controller", "endpointslicemirroring-controller")]
    return [
        _schema(EXEMPT, EXEMPT, 1, "", _groups("system:masters")),
        _schema(CATCH_ALL, CATCH_ALL, 10000, BY_USER, _groups(*_EVERYONE)),
        _schema("system-nodes", "system", 500, BY_USER, _groups("system:nodes")),
        _schema("system-node-high", "node-high", 400, BY_USER, _groups("system:nodes"),
                [nodes, _rule(("*",), "coordination.k8s.io", ("leases",))], []),
        _schema("probes", EXEMPT, 2, "", _groups(*_EVERYONE), [], probes),
        _schema("system-leader-election", "leader-election", 100, BY_USER,
                [*_users(manager, scheduler), *everywhere], [leases], []),
        _schema("workload-leader-election", "leader-election", 200, BY_USER, everywhere, [leases], []),
        _schema("endpoint-controller", "workload-high", 150, BY_USER, controllers, [endpoints], []),
        _schema("kube-controller-manager", "workload-high", 800, BY_NAMESPACE, _users(manager)),
        _schema("kube-scheduler", "workload-high", 800, BY_NAMESPACE, _users(scheduler)),
        _schema("kube-system-service-accounts", "workload-high", 900, BY_NAMESPACE, everywhere),
        _schema("service-accounts", "workload-low", 9000, BY_USER, _groups("system:serviceaccounts")),
        _schema("global-default", "global-default", 9900, BY_USER, _groups(*_EVERYONE)),
    ]  # fmt: skip


def _object(kind: str, name: str, spec: Object) -> Object:
    metadata = {"name": name, "annotations": {AUTOUPDATE: "true"}}
    return {"kind": kind, "apiVersion": f"{GROUP}/v1", "metadata": metadata, "spec": spec}


def _limited(shares: int, lendable: int, queuing: tuple[int, int, int] | None) -> Object:
    response: Object = {"type": "Reject"}
    if queuing is not None:
        queues, hand, length = queuing
        response = {"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}}
    limited = {"nominalConcurrencyShares": shares, "limitResponse": response, "lendablePercent": lendable}
    return {"type": "Limited", "limited": limited}


def _schema(
    name: str,
    level: str,
    precedence: int,
    distinguisher: str,
    subjects: list[Object],
    resources: list[Object] | None = None,
    paths: list[Object] | None = None,
) -> Object:
    """Without rules it is about everything."""
    if resources is None:
        resources = [_rule(("*",), "*", ("*",), cluster=True)]
        paths = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    rule: Object = {"subjects": subjects}
    if resources:
        rule["resourceRules"] = resources
    if paths:
        rule["nonResourceRules"] = paths
    spec: Object = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule]}
    if distinguisher:
        spec["distinguisherMethod"] = {"type": distinguisher}
    return _object("FlowSchema", name, spec)


def _rule(verbs: Iterable[str], group: str, resources: Iterable[str], *, cluster: bool = False) -> Object:
    rule: Object = {"verbs": [*verbs], "apiGroups": [group], "resources": [*resources], "namespaces": ["*"]}
    if cluster:
        rule["clusterScope"] = True
    return rule


def _groups(*names: str) -> list[Object]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Object]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


def _accounts(*names: str) -> list[Object]:
    return [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}} for name in names]
