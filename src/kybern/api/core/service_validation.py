"""The rules of Service; service_addresses.py has those of its cluster addresses and IP families.

Source: API reference, Service v1 core; Services, Load Balancing, and Networking.
"""

from __future__ import annotations

from kybern.api import addresses, meta, names, validation
from kybern.api.cells import at
from kybern.api.core import service_addresses
from kybern.api.field import Errors
from kybern.api.types import Object

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_AFFINITY_LIMIT = 86400
_BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'"
HINTS, TOPOLOGY_MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def is_headless(spec: Object) -> bool:
    """Whether it has no cluster address on purpose."""
    return spec.get("clusterIPs") == ["None"]


def externally_accessible(spec: Object) -> bool:
    """Whether it is reached from outside, so that externalTrafficPolicy means something."""
    kind = spec.get("type")
    return kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def validate(obj: Object, old: Object, errors: Errors) -> None:
    """Any write of a Service; `old` is {} where it is new."""
    spec, before = obj["spec"], old.get("spec") or {}
    kind, ports, headless = spec.get("type"), spec.get("ports") or [], is_headless(spec)
    _annotations(obj, errors)
    if not ports and not headless and kind != "ExternalName":
        errors.required("spec.ports")
    if headless and kind in ("LoadBalancer", "NodePort"):
        errors.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        _external_name(spec, errors)
    _ports(ports, errors)
    meta.validate_labels(spec.get("selector"), "spec.selector", errors)
    _affinity(spec, errors)
    service_addresses.validate(spec, before, errors)
    held = before.get("externalIPs") or []
    for index, ip in enumerate(spec.get("externalIPs") or []):
        path = f"spec.externalIPs[{index}]"
        if ip not in held and (problem := addresses.ip_problem(ip)):
            errors.invalid(path, ip, problem)
        else:
            validation.special_ip(ip, path, errors)
    validation.one_of(kind, _TYPES, "spec.type", errors)
    _duplicates(spec, ports, errors)
    _source_ranges(obj, before, errors)
    if kind != "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not None:
        errors.forbidden("spec.allocateLoadBalancerNodePorts", _BALANCER_ONLY)
    _balancer_class(spec, errors)
    _traffic(spec, errors)


def validate_update(obj: Object, old: Object, errors: Errors) -> None:
    """What may not change."""
    spec, before = obj["spec"], old.get("spec") or {}
    service_addresses.validate_update(spec, before, errors)
    balanced = spec.get("type") == before.get("type") == "LoadBalancer"
    if balanced and spec.get("loadBalancerClass") != before.get("loadBalancerClass"):
        errors.invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), "may not change once set")
    local = spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy") == "Local"
    if balanced and local and spec.get("healthCheckNodePort") != before.get("healthCheckNodePort"):
        errors.forbidden("spec.healthCheckNodePort", "field is immutable")


def validate_status(obj: Object, old: Object, errors: Errors) -> None:
    """What a cloud says of its load balancer."""
    path = "status.loadBalancer.ingress"
    points = at(obj, "status", "loadBalancer", "ingress") or []
    if points and obj["spec"].get("type") != "LoadBalancer":
        errors.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    kept = [point.get("ip") for point in at(old, "status", "loadBalancer", "ingress") or [] if point.get("ip")]
    for index, point in enumerate(points):
        here, ip, mode, host = f"{path}[{index}]", point.get("ip"), point.get("ipMode"), point.get("hostname")
        if ip:
            addresses.check_ip(ip, f"{here}.ip", errors, kept)
        if ip and mode is None:
            errors.required(f"{here}.ipMode", "must be specified when `ip` is set")
        elif mode is not None and not ip:
            errors.forbidden(f"{here}.ipMode", "may not be specified when `ip` is not set")
        elif mode is not None and mode not in ("Proxy", "VIP"):
            errors.unsupported(f"{here}.ipMode", mode, ("Proxy", "VIP"))
        if host:
            for problem in names.dns_subdomain(host):
                errors.invalid(f"{here}.hostname", host, problem)
            if addresses.address(host):
                errors.invalid(f"{here}.hostname", host, "must be a DNS name, not an IP address")


def _annotations(obj: Object, errors: Errors) -> None:
    given = obj["metadata"].get("annotations") or {}
    mode, hints = given.get(TOPOLOGY_MODE), given.get(HINTS)
    if mode is not None and hints is not None and mode != hints:
        detail = f"must match annotations[{HINTS}] when both are specified"
        errors.invalid(f"metadata.annotations[{TOPOLOGY_MODE}]", mode, detail)


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


def _ports(ports: list[Object], errors: Errors) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"spec.ports[{index}]", port.get("name") or ""
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
        for problem in names.qualified_name(port["appProtocol"]) if port.get("appProtocol") is not None else ():
            errors.invalid(f"{path}.appProtocol", port["appProtocol"], problem)


def _affinity(spec: Object, errors: Errors) -> None:
    affinity, path = spec.get("sessionAffinity"), "spec.sessionAffinityConfig"
    validation.one_of(affinity, ("ClientIP", "None"), "spec.sessionAffinity", errors)
    if affinity == "ClientIP":
        seconds = at(spec, "sessionAffinityConfig", "clientIP", "timeoutSeconds") or 0
        if not 0 < seconds <= _AFFINITY_LIMIT:
            detail = f"must be greater than 0 and less than {_AFFINITY_LIMIT}"
            errors.invalid(f"{path}.clientIP.timeoutSeconds", seconds, detail)
    elif affinity == "None" and spec.get("sessionAffinityConfig"):
        errors.forbidden(path, f"must not be set when session affinity is {affinity}")


def _duplicates(spec: Object, ports: list[Object], errors: Errors) -> None:
    node_ports: set[tuple[str | None, int]] = set()
    for index, port in enumerate(ports):
        number, path = port.get("nodePort"), f"spec.ports[{index}].nodePort"
        if not number:
            continue
        if spec.get("type") == "ClusterIP":
            errors.forbidden(path, "may not be used when `type` is 'ClusterIP'")
        if (port.get("protocol"), number) in node_ports:
            errors.duplicate(path, number)
        node_ports.add((port.get("protocol"), number))
    pairs: set[tuple[str | None, int | None]] = set()
    for index, port in enumerate(ports):
        pair = (port.get("protocol"), port.get("port"))
        if pair in pairs:
            shown = {"Name": "", "Protocol": pair[0], "AppProtocol": None, "Port": pair[1]}
            errors.duplicate(f"spec.ports[{index}]", {**shown, "TargetPort": 0, "NodePort": 0})
        pairs.add(pair)


def _source_ranges(obj: Object, before: Object, errors: Errors) -> None:
    spec, path = obj["spec"], "spec.LoadBalancerSourceRanges"
    ranges = spec.get("loadBalancerSourceRanges") or []
    annotated = (obj["metadata"].get("annotations") or {}).get(SOURCE_RANGES)
    if not ranges and annotated is None:
        return
    if not ranges:
        path = f"metadata.annotations[{SOURCE_RANGES}]"
    if spec.get("type") != "LoadBalancer":
        errors.forbidden(path, _BALANCER_ONLY)
    held = [cidr.strip() for cidr in before.get("loadBalancerSourceRanges") or []]
    for index, cidr in enumerate(ranges):
        # Spaces around them are allowed since they came from an annotation.
        addresses.check_cidr(cidr.strip(), f"{path}[{index}]", errors, held)
    if not ranges and annotated is not None and annotated.strip():
        for cidr in annotated.split(","):
            addresses.check_cidr(cidr.strip(), path, errors)


def _balancer_class(spec: Object, errors: Errors) -> None:
    found, path = spec.get("loadBalancerClass"), "spec.loadBalancerClass"
    if found is None:
        return
    if spec.get("type") != "LoadBalancer":
        errors.forbidden(path, _BALANCER_ONLY)
        return
    for problem in names.qualified_name(found):
        errors.invalid(path, found, problem)


def _traffic(spec: Object, errors: Errors) -> None:
    kind, external, internal = spec.get("type"), spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    path = "spec.externalTrafficPolicy"
    if externally_accessible(spec):
        validation.one_of(external, _POLICIES, path, errors)
    elif external:
        errors.invalid(path, external, "may only be set for externally-accessible services")
    port, path = spec.get("healthCheckNodePort") or 0, "spec.healthCheckNodePort"
    if port and not (kind == "LoadBalancer" and external == "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.invalid(path, port, detail)
    elif port:
        validation.port_number(port, path, errors)
    if internal is not None and internal not in _POLICIES:
        errors.unsupported("spec.internalTrafficPolicy", internal, _POLICIES)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        errors.unsupported("spec.trafficDistribution", distribution, _DISTRIBUTIONS)
