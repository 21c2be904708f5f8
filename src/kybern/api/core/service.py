"""Service, v1: declaration and defaults; service_validation.py has the rules. Addresses and node ports are allocated by
the API server.

Source: API reference, Service v1 core.
"""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import addresses
from kybern.api.cells import at, labels, text
from kybern.api.core import service_validation as rules
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource, Subresource
from kybern.api.types import Object

CLUSTER_IP, NODE_PORT, LOAD_BALANCER, EXTERNAL_NAME = "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"
AFFINITY_SECONDS = 10800
_AFFINITY_TIMEOUT = ("sessionAffinityConfig", "clientIP", "timeoutSeconds")
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
    creates_on_update = True
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
        elif spec["sessionAffinity"] == "ClientIP" and at(spec, *_AFFINITY_TIMEOUT) is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}}
        spec["type"] = spec.get("type") or CLUSTER_IP
        for port in spec.get("ports") or []:
            port["protocol"] = port.get("protocol") or "TCP"
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port")
        if rules.externally_accessible(spec):
            spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
        if needs_cluster_ip(spec):
            spec.setdefault("internalTrafficPolicy", "Cluster")
        if spec["type"] == LOAD_BALANCER:
            spec.setdefault("allocateLoadBalancerNodePorts", True)
            for ingress in at(obj, "status", "loadBalancer", "ingress") or []:
                if ingress.get("ip"):
                    ingress.setdefault("ipMode", "VIP")

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"loadBalancer": {}}
        spec = obj["spec"]
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        prep.warnings += warnings(obj)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if prep.subresource == "status":
            return
        spec, before = obj["spec"], old.get("spec") or {}
        _keep_allocated(spec, before)
        _agree_on_cluster_ips(spec, before)
        _drop_what_the_type_lacks(spec, before)
        if spec.get("type") != LOAD_BALANCER:
            obj["status"] = {**(obj.get("status") or {}), "loadBalancer": {}}
        prep.warnings += warnings(obj)

    def validate(self, obj: Object, errors: Errors) -> None:
        rules.validate(obj, {}, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        rules.validate_update(obj, old, errors)
        rules.validate(obj, old, errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        rules.validate_status(obj, old, errors)


def warnings(obj: Object) -> list[str]:
    """What to say of a Service that is accepted but asks for what has no effect or won't last."""
    spec, found = obj["spec"], list[str]()
    kind, external = spec.get("type"), spec.get("externalIPs") or []
    if rules.HINTS in (obj["metadata"].get("annotations") or {}):
        found.append(f"annotation {rules.HINTS} is deprecated, please use {rules.TOPOLOGY_MODE} instead")
    headless = kind == CLUSTER_IP and spec.get("clusterIP") == "None"
    if headless:
        ignored = {"loadBalancerIP": spec.get("loadBalancerIP"), "externalIPs": external}
        found += [f"spec.{name} is ignored for headless services" for name, value in ignored.items() if value]
        if spec.get("sessionAffinity") != "None":
            found.append("spec.SessionAffinity is ignored for headless services")
    elif kind != EXTERNAL_NAME:
        for index, ip in enumerate(spec.get("clusterIPs") or []):
            found += addresses.ip_warnings(ip, f"spec.clusterIPs[{index}]")
    for index, ip in enumerate(external):
        found += addresses.ip_warnings(ip, f"spec.externalIPs[{index}]")
    if external and not headless and kind != EXTERNAL_NAME:
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    found += addresses.ip_warnings(spec.get("loadBalancerIP") or "", "spec.loadBalancerIP")
    for index, cidr in enumerate(spec.get("loadBalancerSourceRanges") or []):
        found += addresses.cidr_warnings(cidr, f"spec.loadBalancerSourceRanges[{index}]")
    if external and kind == EXTERNAL_NAME:
        found.append(f'spec.externalIPs is ignored when spec.type is "{EXTERNAL_NAME}"')
    if spec.get("externalName") and kind != EXTERNAL_NAME:
        found.append(f'spec.externalName is ignored when spec.type is not "{EXTERNAL_NAME}"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def _agree_on_cluster_ips(spec: Object, before: Object) -> None:
    """Who changes clusterIP and leaves clusterIPs alone means both."""
    one, old = spec.get("clusterIP") or "", before.get("clusterIP") or ""
    if one != old and (spec.get("clusterIPs") or []) == (before.get("clusterIPs") or []):
        if one:
            spec["clusterIPs"] = [one]
        else:
            spec.pop("clusterIPs", None)


def _has_node_ports(spec: Object) -> bool:
    return spec.get("type") in (NODE_PORT, LOAD_BALANCER)


def _keep_allocated(spec: Object, before: Object) -> None:
    """What the server allocated stays when a client sends the object without it (`kubectl replace`)."""
    if needs_cluster_ip(before) and needs_cluster_ip(spec):
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        if not spec.get("clusterIPs") and before.get("clusterIPs") and spec.get("clusterIP") == before.get("clusterIP"):
            spec["clusterIPs"] = list(before["clusterIPs"])
    if _has_node_ports(before) and _has_node_ports(spec):
        held = {port.get("name") or "": port.get("nodePort") for port in before.get("ports") or []}
        taken = {port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort")}
        for port in spec.get("ports") or []:
            number = held.get(port.get("name") or "")
            if not port.get("nodePort") and number and number not in taken:
                port["nodePort"] = number
    if needs_health_check_port(before) and needs_health_check_port(spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before.get("healthCheckNodePort", 0)


def _drop_what_the_type_lacks(spec: Object, before: Object) -> None:
    """Fields that the former type needed and the new one doesn't go, unless the client changed them itself."""

    def drop(*names: str) -> None:
        for name in names:
            if name in before and spec.get(name) == before[name]:
                spec.pop(name, None)

    if needs_cluster_ip(before) and not needs_cluster_ip(spec):
        if spec.get("clusterIPs") == before.get("clusterIPs"):
            drop("clusterIP", "clusterIPs")
        drop("ipFamilies", "ipFamilyPolicy")
    if _has_node_ports(before) and not _has_node_ports(spec):
        numbers, held = ([p.get("nodePort") or 0 for p in one.get("ports") or []] for one in (spec, before))
        if numbers == held:
            for port in spec.get("ports") or []:
                port.pop("nodePort", None)
    if needs_health_check_port(before) and not needs_health_check_port(spec):
        drop("healthCheckNodePort")
    if before.get("type") == LOAD_BALANCER and spec.get("type") != LOAD_BALANCER:
        drop("allocateLoadBalancerNodePorts", "loadBalancerClass")
    if rules.externally_accessible(before) and not rules.externally_accessible(spec):
        drop("externalTrafficPolicy")
