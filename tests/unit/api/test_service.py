"""What a Service may be, and what an update keeps and drops, in upstream's words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kybern.api.core.service import Service
from kybern.api.field import Errors
from kybern.api.resource import Preparation
from kybern.api.types import Object

PORT = {"port": 80, "protocol": "TCP", "targetPort": 80}


def service(annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    obj: Object = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"ports": [dict(PORT)], **spec}}
    if annotations:
        obj["metadata"]["annotations"] = annotations
    kind = Service()
    kind.default(obj)
    return obj


def wrong(obj: Object, old: Object | None = None) -> list[str]:
    errors, kind = Errors(), Service()
    if old is None:
        kind.prepare_create(obj, Preparation())
        kind.validate(obj, errors)
    else:
        kind.prepare_update(obj, old, Preparation())
        kind.validate_changed(obj, old, errors)
    return [str(error) for error in errors]


def updated(old: Object, **spec: Any) -> Object:
    """`old` after an update of its spec; fields given as None are left out."""
    new = copy.deepcopy(old)
    new["spec"] = {key: value for key, value in {**new["spec"], **spec}.items() if value is not None}
    Service().default(new)
    Service().prepare_update(new, old, Preparation())
    return new


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"ports": []}, "spec.ports: Required value"),
        ({"type": "Odd"}, 'spec.type: Unsupported value: "Odd"'),
        ({"clusterIP": "None", "type": "NodePort"}, "may not be set to 'None' for NodePort services"),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        ({"type": "ExternalName", "externalName": "a", "ipFamilies": ["IPv4"]}, "may not be set for ExternalName"),
        ({"ports": [PORT, {**PORT, "port": 81}]}, "spec.ports[0].name: Required value"),
        ({"ports": [{**PORT, "name": "a"}, {**PORT, "name": "a", "port": 8}]}, 'ports[1].name: Duplicate value: "a"'),
        ({"ports": [{**PORT, "appProtocol": "a b"}]}, 'spec.ports[0].appProtocol: Invalid value: "a b"'),
        ({"ports": [{**PORT, "nodePort": 30000}]}, "nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"),
        (
            {"ports": [{**PORT, "name": "a"}, {**PORT, "name": "b"}]},
            'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,'
            '"NodePort":0}',
        ),
        ({"clusterIPs": ["10.0.0.1"]}, "must be empty when `clusterIP` is not specified"),
        ({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.2"]}, "first value must match `clusterIP`"),
        ({"clusterIP": "010.0.0.1"}, 'spec.clusterIPs[0]: Invalid value: "010.0.0.1": must not have leading 0s'),
        (
            {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]},
            "may specify no more than one IP for each IP family",
        ),
        (
            {"clusterIP": "10.0.0.1", "ipFamilies": ["IPv6"]},
            "expected an IPv6 value as indicated by `ipFamilies[0]`",
        ),
        ({"ipFamilies": ["IPv4", "IPv4"]}, 'spec.ipFamilies[1]: Duplicate value: "IPv4"'),
        ({"externalIPs": ["127.0.0.1"]}, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ({"externalIPs": ["x"]}, 'spec.externalIPs[0]: Invalid value: "x": must be a valid IP address'),
        ({"externalTrafficPolicy": "Local"}, "may only be set for externally-accessible services"),
        ({"type": "NodePort", "externalTrafficPolicy": "X"}, 'supported values: "Cluster", "Local"'),
        ({"healthCheckNodePort": 30000}, "`externalTrafficPolicy` is 'Local'"),
        ({"internalTrafficPolicy": "X"}, "spec.internalTrafficPolicy: Unsupported value"),
        ({"trafficDistribution": "X"}, 'supported values: "PreferClose", "PreferSameNode", "PreferSameZone"'),
        ({"loadBalancerClass": "a/b"}, "spec.loadBalancerClass: Forbidden: may only be used when `type` is"),
        ({"type": "LoadBalancer", "loadBalancerClass": "a b"}, "spec.loadBalancerClass: Invalid value"),
        ({"loadBalancerSourceRanges": ["10.0.0.0/8"]}, "spec.LoadBalancerSourceRanges: Forbidden"),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.0.0.0/8", "10.0.0.1/8"]},
            "spec.LoadBalancerSourceRanges[1]: Invalid value",
        ),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}},
            "must be greater than 0 and less than 86400",
        ),
    ],
)
def test_rules(spec: dict[str, Any], complaint: str) -> None:
    assert any(complaint in said for said in wrong(service(**spec))), wrong(service(**spec))


def test_what_is_well() -> None:
    assert wrong(service(type="LoadBalancer", externalTrafficPolicy="Local", loadBalancerClass="example.com/lb")) == []
    assert wrong(service(externalIPs=["192.0.2.1"])) == []
    assert wrong(service(clusterIP="None", ports=[])) == []
    ranges = {"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, 11.0.0.0/8"}
    assert wrong(service(ranges, type="LoadBalancer")) == []
    assert any("Forbidden" in said for said in wrong(service(ranges)))


def test_defaults() -> None:
    spec = service(externalIPs=["192.0.2.1"], sessionAffinity="ClientIP")["spec"]
    assert spec["externalTrafficPolicy"] == spec["internalTrafficPolicy"] == "Cluster"
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    external = service(type="ExternalName", externalName="a")["spec"]
    assert "internalTrafficPolicy" not in external


def test_updates() -> None:
    old = service(type="NodePort", clusterIP="10.0.0.1", clusterIPs=["10.0.0.1", "fd00::1"],
                  ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="PreferDualStack",
                  ports=[{**PORT, "nodePort": 30001, "name": "a"}])  # fmt: skip
    replaced = updated(old, clusterIP=None, clusterIPs=None, ports=[{**PORT, "port": 81, "name": "a"}])
    assert replaced["spec"]["clusterIPs"] == ["10.0.0.1", "fd00::1"]
    assert replaced["spec"]["ports"][0]["nodePort"] == 30001
    assert updated(old, clusterIPs=None)["spec"]["clusterIPs"] == ["10.0.0.1", "fd00::1"]
    inner = updated(old, type="ClusterIP")["spec"]
    assert "nodePort" not in inner["ports"][0] and "externalTrafficPolicy" not in inner
    external = updated(old, type="ExternalName", externalName="example.com")
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} & external["spec"].keys()
    assert wrong(external, old) == []
    for changed, complaint in (
        ({"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2", "fd00::1"]}, "spec.clusterIPs[0]: Invalid value"),
        ({"clusterIPs": ["10.0.0.1", "fd00::2"]}, "spec.clusterIPs[1]: Invalid value"),
        ({"ipFamilies": ["IPv6", "IPv4"]}, "spec.ipFamilies[0]: Invalid value"),
    ):
        new = copy.deepcopy(old)
        new["spec"] |= changed
        assert any(complaint in said and "may not change once set" in said for said in wrong(new, old))


def test_what_was_wrong_may_stay() -> None:
    old = service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1"], externalIPs=["010.0.0.9"])
    assert wrong(updated(old, selector={"a": "b"}), old) == []
    assert any("leading 0s" in said for said in wrong(updated(old, externalIPs=["010.0.0.8"]), old))


def test_status() -> None:
    def said(kind: str, *points: Object) -> list[str]:
        errors, old = Errors(), service(type=kind)
        Service().validate_status({**old, "status": {"loadBalancer": {"ingress": list(points)}}}, old, errors)
        return [str(error) for error in errors]

    assert said("LoadBalancer", {"ip": "192.0.2.1", "ipMode": "VIP"}, {"hostname": "a.example.com"}) == []
    assert "may only be used when `spec.type` is 'LoadBalancer'" in said("ClusterIP", {"ip": "192.0.2.1"})[0]
    assert "ipMode: Required value: must be specified when `ip` is set" in said("LoadBalancer", {"ip": "192.0.2.1"})[0]
    assert "must be a DNS name, not an IP address" in said("LoadBalancer", {"hostname": "192.0.2.1"})[0]


def test_warnings() -> None:
    prep = Preparation()
    kind, obj = Service(), service(externalIPs=["2001:DB8::1"], trafficDistribution="PreferClose", externalName="a")
    kind.prepare_create(obj, prep)
    assert prep.warnings == [
        'spec.externalIPs[0]: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")',
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
        'spec.externalName is ignored when spec.type is not "ExternalName"',
        'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
    ]
