"""The rules of the smaller core kinds, in upstream's words."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kybern.api.autoscaling.horizontalpodautoscaler import HorizontalPodAutoscaler
from kybern.api.core.endpoints import Endpoints
from kybern.api.core.limitrange import LimitRange
from kybern.api.core.namespace import Namespace
from kybern.api.core.node import Node
from kybern.api.core.resourcequota import ResourceQuota
from kybern.api.core.secret import Secret
from kybern.api.core.serviceaccount import ServiceAccount
from kybern.api.discovery.endpointslice import EndpointSlice
from kybern.api.field import Errors
from kybern.api.policy.poddisruptionbudget import PodDisruptionBudget
from kybern.api.resource import Preparation, Resource
from kybern.api.types import Object
from kybern.testing.certificates import certificate, key, key_pem


def said(kind: Resource, obj: Object, old: Object | None = None) -> list[str]:
    """What is wrong with creating `obj`, or with updating `old` to it."""
    errors = Errors()
    obj.setdefault("metadata", {"name": "a"})
    kind.default(obj)
    if old is None:
        kind.validate(obj, errors)
    else:
        kind.default(old)
        kind.validate_changed(obj, old, errors)
    return [str(error) for error in errors]


def warned(kind: Resource, obj: Object) -> list[str]:
    prep = Preparation()
    obj.setdefault("metadata", {"name": "a"})
    kind.default(obj)
    kind.prepare_create(obj, prep)
    return prep.warnings


def limits(**limit: Any) -> Object:
    return {"spec": {"limits": [{"type": "Container", **limit}]}}


@pytest.mark.parametrize(
    ("obj", "complaint"),
    [
        (limits(type="Odd"), 'spec.limits[0].type: Invalid value: "Odd": must be a standard limit type or fully'),
        (limits(max={"storage": "1"}), "must be a standard resource for containers"),
        (limits(type="PersistentVolumeClaim"), "spec.limits[0].limits: Required value: either minimum or maximum"),
        (limits(type="Pod", default={"cpu": "1"}), "may not be specified when `type` is 'Pod'"),
        (limits(min={"cpu": "2"}, max={"cpu": "1"}), 'min[cpu]: Invalid value: "2": min value 2 is greater than max'),
        (
            limits(min={"cpu": "2"}, default={"cpu": "1"}, defaultRequest={"cpu": "1"}),
            'default[cpu]: Invalid value: "2": min value 2 is greater than default value 1',
        ),
        (limits(maxLimitRequestRatio={"cpu": "500m"}), "ratio 500m is less than 1"),
        (
            limits(min={"cpu": "1"}, max={"cpu": "2"}, maxLimitRequestRatio={"cpu": "3"}),
            "ratio 3 is greater than max/min = 2.000000",
        ),
        (
            limits(default={"example.com/gpu": "2"}, defaultRequest={"example.com/gpu": "1"}),
            "default value 2 must equal to defaultRequest value 1 in example.com/gpu",
        ),
    ],
)
def test_limit_ranges(obj: Object, complaint: str) -> None:
    assert any(complaint in one for one in said(LimitRange(), obj)), said(LimitRange(), obj)


def test_good_limit_ranges() -> None:
    assert said(LimitRange(), limits(min={"cpu": "1"}, max={"cpu": "2"}, maxLimitRequestRatio={"cpu": "2"})) == []
    assert said(LimitRange(), limits(type="PersistentVolumeClaim", max={"storage": "5Gi"})) == []


def quota(hard: dict[str, str], **spec: Any) -> Object:
    return {"spec": {"hard": hard, **spec}}


@pytest.mark.parametrize(
    ("obj", "complaint"),
    [
        (quota({"storage": "1"}), 'spec.hard[storage]: Invalid value: "storage": must be a standard resource for'),
        (quota({"odd": "1"}), "must be a standard resource type or fully qualified"),
        (quota({"pods": "1500m"}), 'spec.hard[pods]: Invalid value: "1500m": must be an integer'),
        (quota({"cpu": "-1"}), "must be greater than or equal to 0"),
        (quota({}, scopes=["Odd"]), 'spec.scopes: Invalid value: ["Odd"]: unsupported scope'),
        (quota({"cpu": "1"}, scopes=["BestEffort"]), 'Invalid value: ["BestEffort"]: unsupported scope applied to'),
        (quota({}, scopes=["Terminating", "NotTerminating"]), "conflicting scopes"),
        (
            quota({}, scopeSelector={"matchExpressions": [{"scopeName": "BestEffort", "operator": "In"}]}),
            "spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exists' when scope is",
        ),
    ],
)
def test_quotas(obj: Object, complaint: str) -> None:
    assert any(complaint in one for one in said(ResourceQuota(), obj)), said(ResourceQuota(), obj)


def test_good_quotas() -> None:
    hard = {"count/deployments.apps": "5", "requests.hugepages-2Mi": "1Gi", "requests.example.com/gpu": "1"}
    for obj in (quota(hard), quota({"cpu": "1"}, scopes=["NotBestEffort"])):
        assert said(ResourceQuota(), obj) == []
    old = quota({}, scopes=["Terminating", "BestEffort"])
    assert said(ResourceQuota(), quota({}, scopes=["BestEffort", "Terminating"]), old) == []
    assert "field is immutable" in said(ResourceQuota(), quota({}, scopes=["BestEffort"]), old)[0]


def node(**spec: Any) -> Object:
    return {"spec": spec}


def test_nodes() -> None:
    taint = {"key": "a", "effect": "NoSchedule"}
    for obj, complaint in (
        (node(taints=[{"effect": "NoSchedule"}]), "metadata.taints[0].key: Invalid value"),
        (node(taints=[{"key": "a"}]), "metadata.taints[0].effect: Required value"),
        (
            node(taints=[{"key": "a", "effect": "x"}]),
            'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"',
        ),
        (
            node(taints=[taint, taint]),
            'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}: '
            "taints must be unique by key and effect pair",
        ),
        (node(podCIDRs=["10.0.0.0/24", "10.0.1.0/24"]), "may specify no more than one CIDR for each IP family"),
        (node(podCIDR="10.0.0.1/24"), "must not have bits set beyond the prefix length"),
        ({"status": {"capacity": {"pods": "1.5"}}}, 'status.capacity.pods: Invalid value: "1500m": must be an integer'),
    ):
        assert any(complaint in one for one in said(Node(), obj)), said(Node(), obj)
    assert said(Node(), node(podCIDRs=["10.0.0.0/24", "fd00::/64"], taints=[taint])) == []
    old = node(podCIDR="10.0.0.0/24", providerID="a://b")
    assert said(Node(), node(podCIDR="10.0.0.0/24", providerID="a://b", taints=[taint]), old) == []
    assert said(Node(), node(podCIDR="10.0.1.0/24"), old) == [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
    ]
    assert said(Node(), node(podCIDR="10.0.0.1/24"), node())[0].startswith("spec.podCIDRs[0]: Invalid value")
    able = {"status": {"declaredFeatures": ["B", "A", "A", "a"], "nodeInfo": {"swap": {"capacity": 0}}}}
    assert [text.partition(": invalid feature")[0] for text in said(Node(), able)] == [
        "metadata.nodeSwapStatus.capacity: Invalid value: 0: must be greater than zero",
        'status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically',
        'status.declaredFeatures[2]: Duplicate value: "A"',
        'status.declaredFeatures[3]: Invalid value: "a"',
    ]
    assert said(Node(), {"status": {"declaredFeatures": ["A", "B/c"]}}, node()) == []
    twice = {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}] * 2}}
    assert 'Duplicate value: {"Type":"InternalIP","Address":"10.0.0.1"}' in said(Node(), twice, node())[0]


def test_secrets() -> None:
    def secret(kind: str, **data: bytes) -> Object:
        coded = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
        return {"type": kind, "data": {key.replace("ssh.", "ssh-"): value for key, value in coded.items()}}

    assert "Required value" in said(Secret(), secret("kubernetes.io/ssh-auth", ssh_privatekey=b""))[0]
    assert said(Secret(), secret("kubernetes.io/ssh-auth", ssh_privatekey=b"k")) == []
    listed = said(Secret(), {"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "W10="}})
    assert "cannot unmarshal array into Go value of type map[string]interface {}" in listed[0]
    tls, private = "kubernetes.io/tls", key()
    good = certificate("a", private)
    assert warned(Secret(), secret(tls, tls_crt=good, tls_key=key_pem(private))) == []
    assert warned(Secret(), secret(tls, tls_crt=good, tls_key=key_pem(key()))) == [
        "tls: private key does not match public key"
    ]
    assert warned(Secret(), secret(tls, tls_crt=b"x", tls_key=b"y")) == [
        "tls: failed to find any PEM data in certificate input"
    ]


def test_namespaces() -> None:
    assert said(Namespace(), {"spec": {"finalizers": ["kubernetes", "example.com/a"]}}) == []
    assert said(Namespace(), {"spec": {"finalizers": ["odd"]}}) == [
        'spec.finalizers: Invalid value: "odd": name is neither a standard finalizer name nor is it fully qualified'
    ]


def test_endpoints() -> None:
    def endpoints(ip: str, **more: Any) -> Object:
        return {"subsets": [{"addresses": [{"ip": ip, **more}], "ports": [{"port": 80, "appProtocol": "http"}]}]}

    assert said(Endpoints(), endpoints("10.0.0.1", hostname="a", nodeName="n")) == []
    assert "must not have leading 0s" in said(Endpoints(), endpoints("010.0.0.1"))[0]
    assert said(Endpoints(), {**endpoints("010.0.0.1"), "metadata": {}}, endpoints("010.0.0.1")) == []
    assert len(said(Endpoints(), endpoints("010.0.0.1", hostname="a"), endpoints("010.0.0.1"))) == 1
    assert "hostname: Invalid value" in said(Endpoints(), endpoints("10.0.0.1", hostname="A"))[0]
    assert Endpoints().warnings_of("v1") == [
        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    ]


def test_endpoint_slices() -> None:
    hints = {"forNodes": [{"name": "n"}, {"name": "n"}]}
    made = {"addressType": "IPv6", "endpoints": [{"addresses": ["FD00::1"], "hints": hints}]}
    assert said(EndpointSlice(), made) == ['endpoints[0].hints.forNodes[1].name: Duplicate value: "n"']
    assert "should be in RFC 5952 canonical format" in warned(EndpointSlice(), made)[0]
    named = {"addressType": "FQDN", "endpoints": [{"addresses": ["host"]}]}
    assert warned(EndpointSlice(), named) == ["addressType: FQDN endpoints are deprecated"]
    assert "should be a domain with at least two segments separated by dots" in said(EndpointSlice(), named)[0]


def test_service_accounts_warn() -> None:
    obj = {"metadata": {"name": "a", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}
    assert "deprecated in v1.32+" in warned(ServiceAccount(), obj)[0]


def test_budgets_and_autoscalers() -> None:
    errors, budget = Errors(), {"status": {"conditions": [{"type": "DisruptionAllowed", "status": "Maybe"}]}}
    PodDisruptionBudget().validate_status(budget, {}, errors)
    assert [error.path for error in errors] == [
        "status.conditions[0].status", "status.conditions[0].lastTransitionTime", "status.conditions[0].reason",
    ]  # fmt: skip
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 5}}}
    rules = {"tolerance": "-1", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 1}]}
    target = {"kind": "Deployment", "name": "d"}
    obj = {
        "spec": {"scaleTargetRef": target, "maxReplicas": 2, "metrics": [metric], "behavior": {"scaleUp": rules}}
    }
    assert said(HorizontalPodAutoscaler(), obj) == [
        "spec.metrics[0].resource.target.type: Required value: must specify a metric target type",
        'spec.metrics[0].resource.target.type: Invalid value: "": must be either Utilization, Value, or AverageValue',
        'spec.behavior.scaleUp.tolerance: Invalid value: "-1": must be greater than or equal to 0',
    ]
    external = {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "1"}}}
    spec = {"scaleTargetRef": target, "minReplicas": 0, "maxReplicas": 2, "metrics": [external]}
    assert said(HorizontalPodAutoscaler(), {"spec": spec}) == [
        "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"
    ]


@pytest.mark.parametrize(
    ("info", "cell"),
    [
        ({"kernelVersion": "6.1.0", "architecture": "amd64"}, "6.1.0 (amd64)"),
        ({"kernelVersion": "6.1.0"}, "6.1.0"),
        ({"architecture": "amd64"}, "<unknown> (amd64)"),
        ({}, "<unknown>"),
    ],
)
def test_the_kernel_of_a_node_is_shown_with_its_architecture(info: dict[str, str], cell: str) -> None:
    [column] = [column for column in Node.columns if column.name == "Kernel-Version"]
    assert column.cell({"metadata": {"name": "n"}, "status": {"nodeInfo": info}}) == cell
