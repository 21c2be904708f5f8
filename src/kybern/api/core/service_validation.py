"""The rules of Service. Source: API reference, Service v1 core; Services, Load Balancing, and Networking."""

from __future__ import annotations

import ipaddress

from kybern.api import meta, names, validation
from kybern.api.field import Errors
from kybern.api.types import Object

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_AFFINITY_LIMIT = 86400
_HEADLESS = "None"


def validate(obj: Object, errors: Errors) -> None:
    """Any write of a Service."""
    spec = obj["spec"]
    kind, ports = spec.get("type"), spec.get("ports") or []
    headless = spec.get("clusterIP") == _HEADLESS
    if not ports and not headless and kind != "ExternalName":
        errors.required("spec.ports")
    if kind == "LoadBalancer" and headless:
        errors.invalid("spec.clusterIPs[0]", _HEADLESS, "may not be set to 'None' for LoadBalancer services")
    if kind == "NodePort" and headless:
        errors.invalid("spec.clusterIPs[0]", _HEADLESS, "may not be set to 'None' for NodePort services")
    if kind == "ExternalName":
        _external_name(spec, errors)
    _ports(spec, ports, headless, errors)
    meta.validate_labels(spec.get("selector"), "spec.selector", errors)
    _affinity(spec, errors)
    validation.one_of(kind, _TYPES, "spec.type", errors)
    _node_ports(spec, ports, errors)
    _cluster_ips(spec, errors)
    for index, ip in enumerate(spec.get("externalIPs") or []):
        validation.endpoint_ip(ip, f"spec.externalIPs[{index}]", errors)
    _traffic_policies(spec, errors)
    _source_ranges(spec, errors)
    _load_balancer_only(spec, errors)


def validate_update(obj: Object, old: Object, errors: Errors) -> None:
    """The primary cluster address stays, as long as there is one."""
    spec, before = obj["spec"], old.get("spec") or {}
    ips, held = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    if "ExternalName" not in (spec.get("type"), before.get("type")) and held:
        if not ips:
            errors.invalid("spec.clusterIPs[0]", ips, "primary clusterIP can not be unset")
        elif ips[0] != held[0]:
            errors.invalid("spec.clusterIPs[0]", ips, "may not change once set")
        families, had = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
        if had and families and families[0] != had[0]:
            errors.invalid("spec.ipFamilies[0]", families, "may not change once set")
    both_balanced = spec.get("type") == before.get("type") == "LoadBalancer"
    if both_balanced and spec.get("loadBalancerClass") != before.get("loadBalancerClass"):
        errors.invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), "may not change once set")


def _external_name(spec: Object, errors: Errors) -> None:
    for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(name):
            errors.forbidden(f"spec.{name}", "may not be set for ExternalName services")
    external = (spec.get("externalName") or "").removesuffix(".")
    if not external:
        errors.required("spec.externalName")
        return
    for problem in names.dns_subdomain(external):
        errors.invalid("spec.externalName", external, problem)


def _ports(spec: Object, ports: list[Object], headless: bool, errors: Errors) -> None:
    seen: set[str] = set()
    pairs: set[tuple[str | None, int | None]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name") or ""
        if not name:
            if len(ports) > 1:
                errors.required(f"{path}.name")
        else:
            for problem in names.dns_label(name):
                errors.invalid(f"{path}.name", name, problem)
            if name in seen:
                errors.duplicate(f"{path}.name", name)
            seen.add(name)
        validation.port_number(port.get("port"), f"{path}.port", errors)
        validation.protocol(port.get("protocol"), f"{path}.protocol", errors)
        target = port.get("targetPort")
        if isinstance(target, str):
            for problem in names.port_name(target):
                errors.invalid(f"{path}.targetPort", target, problem)
        else:
            validation.port_number(target, f"{path}.targetPort", errors)
        if headless and target != port.get("port") and spec.get("type") == "ExternalName":
            errors.invalid(f"{path}.targetPort", target, "must be equal to the value of 'port' when clusterIP = None")
        pair = (port.get("protocol"), port.get("port"))
        if pair in pairs:
            errors.duplicate(path, {"protocol": pair[0], "port": pair[1]})
        pairs.add(pair)


def _affinity(spec: Object, errors: Errors) -> None:
    affinity = spec.get("sessionAffinity")
    validation.one_of(affinity, ("ClientIP", "None"), "spec.sessionAffinity", errors)
    if affinity == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds") or 0
        if not 0 < seconds <= _AFFINITY_LIMIT:
            path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            errors.invalid(path, seconds, f"must be greater than 0 and less than {_AFFINITY_LIMIT}")
    elif spec.get("sessionAffinityConfig"):
        errors.forbidden("spec.sessionAffinityConfig", f"must not be set when session affinity is {affinity}")


def _node_ports(spec: Object, ports: list[Object], errors: Errors) -> None:
    allowed = spec.get("type") in ("NodePort", "LoadBalancer")
    pairs: set[tuple[str | None, int]] = set()
    for index, port in enumerate(ports):
        node, path = port.get("nodePort"), f"spec.ports[{index}].nodePort"
        if not node:
            continue
        if not allowed:
            errors.forbidden(path, f"may not be used when `type` is '{spec.get('type')}'")
        elif (port.get("protocol"), node) in pairs:
            errors.duplicate(path, node)
        pairs.add((port.get("protocol"), node))


def _cluster_ips(spec: Object, errors: Errors) -> None:
    ips = spec.get("clusterIPs") or []
    if spec.get("type") == "ExternalName":
        return
    if ips and (spec.get("clusterIP") or "") != ips[0]:
        errors.invalid("spec.clusterIPs", ips, "first value must match `clusterIP`")
    for index, ip in enumerate(ips):
        path = f"spec.clusterIPs[{index}]"
        if ip == _HEADLESS:
            if len(ips) > 1:
                errors.invalid("spec.clusterIPs", ips, f"'{_HEADLESS}' must be the first and only value")
            continue
        for problem in names.ip_address(ip):
            errors.invalid(path, ip, problem)
    if len(ips) > 2:
        errors.invalid("spec.clusterIPs", ips, "may only hold up to 2 values")
    policies = ("PreferDualStack", "RequireDualStack", "SingleStack")
    if spec.get("ipFamilyPolicy"):
        validation.one_of(spec["ipFamilyPolicy"], policies, "spec.ipFamilyPolicy", errors)
    families: list[str] = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        validation.one_of(family, ("IPv4", "IPv6"), f"spec.ipFamilies[{index}]", errors)
        if family in families[:index]:
            errors.duplicate(f"spec.ipFamilies[{index}]", family)


def _traffic_policies(spec: Object, errors: Errors) -> None:
    kind = spec.get("type")
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        if external or kind != "ClusterIP":
            validation.one_of(external, ("Cluster", "Local"), "spec.externalTrafficPolicy", errors)
    elif external:
        errors.invalid(
            "spec.externalTrafficPolicy", external, "may only be set for externally-accessible services"
        )
    if internal and internal not in ("Cluster", "Local"):
        errors.unsupported("spec.internalTrafficPolicy", internal, ("Cluster", "Local"))
    port = spec.get("healthCheckNodePort") or 0
    if port and not (kind == "LoadBalancer" and external == "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.invalid("spec.healthCheckNodePort", port, detail)


def _source_ranges(spec: Object, errors: Errors) -> None:
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges and spec.get("type") != "LoadBalancer":
        errors.forbidden("spec.LoadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'")
    for index, cidr in enumerate(ranges):
        try:
            ipaddress.ip_network(cidr.strip(), strict=False)
        except ValueError:
            detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            errors.invalid(f"spec.loadBalancerSourceRanges[{index}]", cidr, detail)


def _load_balancer_only(spec: Object, errors: Errors) -> None:
    if spec.get("type") == "LoadBalancer":
        return
    for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(name) is not None:
            errors.forbidden(f"spec.{name}", "may only be used when `type` is 'LoadBalancer'")
