"""Service, v1: declaration and defaults; service_validation.py has the rules. Addresses and node ports are allocated by
the API server.

Source: API reference, Service v1 core.
"""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api.cells import at, labels, text
from kybern.api.core import service_validation
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource, Subresource
from kybern.api.types import Object

CLUSTER_IP, NODE_PORT, LOAD_BALANCER, EXTERNAL_NAME = "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"
AFFINITY_SECONDS = 10800
_PROXY = ("create", "delete", "get", "patch", "update")


def needs_cluster_ip(spec: Object) -> bool:
    """Whether the type has a cluster address (which may be "None")."""
    return spec.get("type") in (CLUSTER_IP, NODE_PORT, LOAD_BALANCER)


def needs_node_port(spec: Object) -> bool:
    """Whether the type has node ports."""
    if spec.get("type") == LOAD_BALANCER:
        return spec.get("allocateLoadBalancerNodePorts") is not False
    return bool(spec.get("type") == NODE_PORT)


def needs_health_check_port(spec: Object) -> bool:
    """Whether a health check node port is to be had."""
    return spec.get("type") == LOAD_BALANCER and spec.get("externalTrafficPolicy") == "Local"


def _external_ip(obj: Object) -> str:
    spec = obj.get("spec") or {}
    external = list(spec.get("externalIPs") or [])
    if spec.get("type") == EXTERNAL_NAME:
        return str(spec.get("externalName") or "")
    if spec.get("type") == LOAD_BALANCER:
        ingress = at(obj, "status", "loadBalancer", "ingress") or []
        found = sorted({str(i.get("ip") or i.get("hostname")) for i in ingress if i.get("ip") or i.get("hostname")})
        return ",".join([*found, *external]) or "<pending>"
    return ",".join(external) or "<none>"


def _port(port: Object) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node}/{port.get('protocol')}"


class Service(Resource):
    kind, plural = "Service", "services"
    short_names = ("svc",)
    categories = ("all",)
    has_status = True
    has_generation = False
    validates_name = "dns_label"
    storage_prefix = "services/specs"
    subresources = (Subresource("proxy", "ServiceProxyOptions", verbs=_PROXY),)
    columns = (
        Column("Type", "string", text("spec", "type")),
        Column("Cluster-IP", "string", lambda o: (at(o, "spec", "clusterIPs") or ["<none>"])[0]),
        Column("External-IP", "string", _external_ip),
        Column("Port(s)", "string", lambda o: ",".join(map(_port, at(o, "spec", "ports") or [])) or "<none>"),
        AGE,
        Column("Selector", "string", lambda o: labels(at(o, "spec", "selector")), "", 1),
    )
    selectable_fields = ("spec.clusterIP", "spec.type")

    def selectable(self, obj: Object) -> Mapping[str, str]:
        spec = obj.get("spec") or {}
        return {"spec.clusterIP": spec.get("clusterIP") or "", "spec.type": spec.get("type") or ""}

    def default(self, obj: Object) -> None:
        obj.setdefault("status", {}).setdefault("loadBalancer", {})
        spec = obj.setdefault("spec", {})
        spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
        if spec["sessionAffinity"] == "None":
            spec.pop("sessionAffinityConfig", None)
        else:
            client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
            client.setdefault("timeoutSeconds", AFFINITY_SECONDS)
        spec["type"] = spec.get("type") or CLUSTER_IP
        for port in spec.get("ports") or []:
            port["protocol"] = port.get("protocol") or "TCP"
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port")
        if spec["type"] in (NODE_PORT, LOAD_BALANCER):
            spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
        if needs_cluster_ip(spec):
            spec["internalTrafficPolicy"] = spec.get("internalTrafficPolicy") or "Cluster"
        if spec["type"] == LOAD_BALANCER:
            spec.setdefault("allocateLoadBalancerNodePorts", True)
            for ingress in at(obj, "status", "loadBalancer", "ingress") or []:
                if ingress.get("ip"):
                    ingress.setdefault("ipMode", "VIP")
        _agree_on_cluster_ips(spec, {})

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"loadBalancer": {}}
        _drop_what_the_type_lacks(obj["spec"], {})

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if prep.subresource == "status":
            return
        spec, before = obj["spec"], old.get("spec") or {}
        _keep_allocated(spec, before)
        _agree_on_cluster_ips(spec, before)
        _drop_what_the_type_lacks(spec, before)

    def validate(self, obj: Object, errors: Errors) -> None:
        service_validation.validate(obj, errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        service_validation.validate_update(obj, old, errors)


def _agree_on_cluster_ips(spec: Object, before: Object) -> None:
    """clusterIP and clusterIPs[0] say the same; whichever the client changed wins, as upstream's strategy has it."""
    one, many = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if one and not many:
        spec["clusterIPs"] = [one]
    elif many and not one and not before:
        spec["clusterIP"] = many[0]
    elif before:
        old_one, old_many = before.get("clusterIP") or "", before.get("clusterIPs") or []
        if one != old_one and many == old_many:
            if one:
                spec["clusterIPs"] = [one]
            else:
                spec.pop("clusterIPs", None)


def _keep_allocated(spec: Object, before: Object) -> None:
    """What the server allocated stays when a client sends the object without it (`kubectl replace`)."""
    if needs_cluster_ip(before) and needs_cluster_ip(spec):
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        if not spec.get("clusterIPs") and before.get("clusterIPs") and spec.get("clusterIP") == before.get("clusterIP"):
            spec["clusterIPs"] = list(before["clusterIPs"])
        for name in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(name) and before.get(name):
                spec[name] = before[name]
    if needs_node_port(before) and needs_node_port(spec):
        held = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in before.get("ports") or []}
        taken = {p["nodePort"] for p in spec.get("ports") or [] if p.get("nodePort")}
        for port in spec.get("ports") or []:
            allocated = held.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and allocated and allocated not in taken:
                port["nodePort"] = allocated
                taken.add(allocated)
    if needs_health_check_port(before) and needs_health_check_port(spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before.get("healthCheckNodePort", 0)


def _drop_what_the_type_lacks(spec: Object, before: Object) -> None:
    """Fields that a former type needed and the new one doesn't go, unless the client changed them itself."""

    def drop(name: str) -> None:
        if name in before and spec.get(name) == before[name]:
            spec.pop(name, None)

    if not needs_cluster_ip(spec) and needs_cluster_ip(before):
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            drop(name)
    if not needs_node_port(spec) and needs_node_port(before):
        held = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in before.get("ports") or []}
        for port in spec.get("ports") or []:
            if port.get("nodePort") == held.get((port.get("protocol"), port.get("port"))):
                port.pop("nodePort", None)
    if not needs_health_check_port(spec) and needs_health_check_port(before):
        drop("healthCheckNodePort")
    if spec.get("type") != LOAD_BALANCER and before.get("type") == LOAD_BALANCER:
        drop("allocateLoadBalancerNodePorts")
        drop("loadBalancerClass")
    if spec.get("type") not in (NODE_PORT, LOAD_BALANCER) and before.get("type") in (NODE_PORT, LOAD_BALANCER):
        drop("externalTrafficPolicy")
