"""The rules of Ingress. Source: API reference, Ingress v1; Kubernetes documentation, "Ingress"."""

from __future__ import annotations

from dataclasses import dataclass

from kybern.api import addresses, names
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.networking import references
from kybern.api.types import Object

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS = ("/..", "/.")
_NOT_AN_ADDRESS = "must be a DNS name, not an IP address"


@dataclass(frozen=True, slots=True)
class Forgiven:
    """What an update need not mend, as the stored object has it wrong already."""

    secret_names: bool = False
    wildcard_rules: bool = False


STRICT = Forgiven()


def forgiven(old: Object) -> Forgiven:
    """What to forgive the updates of a stored Ingress."""
    spec, wrong = old.get("spec") or {}, Errors()
    secrets = any(tls.get("secretName") and names.dns_subdomain(tls["secretName"]) for tls in spec.get("tls") or [])
    for rule in spec.get("rules") or []:
        if "*" in (rule.get("host") or ""):
            _rule_value(rule, "", wrong)
    return Forgiven(secrets, bool(wrong))


def validate(obj: Object, errors: Errors, forgive: Forgiven) -> None:
    """Any write."""
    spec = obj["spec"]
    found, backend = spec.get("rules") or [], spec.get("defaultBackend")
    if not found and backend is None:
        errors.invalid("spec", found or None, "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        _backend(backend, "spec.defaultBackend", errors)
    for index, rule in enumerate(found):
        path = f"spec.rules[{index}]"
        host = rule.get("host") or ""
        if host and addresses.address(host):
            errors.invalid(f"{path}.host", host, _NOT_AN_ADDRESS)
        if host:
            _host(host, f"{path}.host", errors)
        if not ("*" in host and forgive.wildcard_rules):
            _rule_value(rule, path, errors)
    for index, tls in enumerate(spec.get("tls") or []):
        path = f"spec.tls[{index}]"
        for place, host in enumerate(tls.get("hosts") or []):
            _host(host, f"{path}.hosts[{place}]", errors)
        secret = tls.get("secretName")
        if secret and not forgive.secret_names:
            for problem in names.dns_subdomain(secret):
                errors.invalid(f"{path}.secretName", secret, problem)
    name = spec.get("ingressClassName")
    if name is not None:
        for problem in names.dns_subdomain(name):
            errors.invalid("spec.ingressClassName", name, problem)


def check_class_annotation(obj: Object, errors: Errors) -> None:
    """At creation the old annotation and the field must not contradict each other."""
    said = (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    name = obj["spec"].get("ingressClassName")
    if said is not None and name is not None and said != name:
        detail = "must match `ingressClassName` when both are specified"
        errors.invalid(f"annotations.{CLASS_ANNOTATION}", said, detail)


def validate_status(obj: Object, old: Object, errors: Errors) -> None:
    """The points of the load balancer."""
    had = [point.get("ip") for point in at(old, "status", "loadBalancer", "ingress") or []]
    kept = [ip for ip in had if ip]
    for index, point in enumerate(at(obj, "status", "loadBalancer", "ingress") or []):
        path, host = f"status.loadBalancer.ingress[{index}]", point.get("hostname")
        if point.get("ip"):
            addresses.check_ip(point["ip"], f"{path}.ip", errors, kept)
        if host:
            for problem in names.dns_subdomain(host):
                errors.invalid(f"{path}.hostname", host, problem)
            if addresses.address(host):
                errors.invalid(f"{path}.hostname", host, _NOT_AN_ADDRESS)


def _host(host: str, path: str, errors: Errors) -> None:
    rule = names.wildcard_subdomain if "*" in host else names.dns_subdomain
    for problem in rule(host):
        errors.invalid(path, host, problem)


def _rule_value(rule: Object, path: str, errors: Errors) -> None:
    http = rule.get("http")
    if http is None:
        return
    paths = http.get("paths") or []
    if not paths:
        errors.required(f"{path}.http.paths")
    for index, one in enumerate(paths):
        _path(one, f"{path}.http.paths[{index}]", errors)


def _path(one: Object, path: str, errors: Errors) -> None:
    kind, text = one.get("pathType"), one.get("path") or ""
    if kind is None:
        errors.required(f"{path}.pathType", "pathType must be specified")
        return
    if kind not in _PATH_TYPES:
        errors.unsupported(f"{path}.pathType", kind, _PATH_TYPES)
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        errors.invalid(f"{path}.path", text, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        for bad in _BAD_SEQUENCES:
            if bad in text:
                errors.invalid(f"{path}.path", text, f"must not contain '{bad}'")
        for bad in _BAD_ENDS:
            if text.endswith(bad):
                errors.invalid(f"{path}.path", text, f"cannot end with '{bad}'")
    _backend(one.get("backend") or {}, f"{path}.backend", errors)


def _backend(backend: Object, path: str, errors: Errors) -> None:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        errors.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        references.check_typed(resource, f"{path}.resource", errors)
    elif service is not None:
        _service(service, path, errors)
    else:
        errors.invalid(path, "", "resource or service backend is required")


def _service(service: Object, path: str, errors: Errors) -> None:
    name, port = service.get("name"), service.get("port") or {}
    if not name:
        errors.required(f"{path}.service.name")
    else:
        for problem in names.dns_label(name):
            errors.invalid(f"{path}.service.name", name, problem)
    if port.get("name") and port.get("number"):
        errors.invalid(path, "", "cannot set both port name & port number")
    elif port.get("name"):
        for problem in names.port_name(port["name"]):
            errors.invalid(f"{path}.service.port.name", port["name"], problem)
    elif port.get("number"):
        for problem in names.port_number(port["number"]):
            errors.invalid(f"{path}.service.port.number", port["number"], problem)
    else:
        errors.required(path, "port name or number is required")
