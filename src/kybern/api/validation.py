"""Checks that many kinds share, in upstream's words. Each takes a value, its path and where to complain."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kybern.api import addresses, meta, names, quantity, selectors
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.types import Object

IMMUTABLE = "field is immutable"
PROTOCOLS = ("SCTP", "TCP", "UDP")
_HOSTNAMES = (
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is "
    "recommended: "
)
_LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}
_HTTP_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


def unchanged(new: Any, old: Any, path: str, errors: Errors, detail: str = IMMUTABLE) -> None:
    """The value may not change once set at creation."""
    if not meta.same(new, old):
        errors.invalid(path, new, detail)


def not_negative(value: int | None, path: str, errors: Errors) -> None:
    """0 or more; None passes."""
    if value is not None and value < 0:
        errors.invalid(path, value, "must be greater than or equal to 0")


def all_not_negative(obj: Object, path: str, keys: Iterable[str], errors: Errors) -> None:
    """`not_negative` of several keys of one object."""
    for key in keys:
        not_negative(obj.get(key), f"{path}.{key}", errors)


def port_number(value: int | None, path: str, errors: Errors) -> None:
    """1 to 65535."""
    for problem in names.port_number(value or 0):
        errors.invalid(path, value or 0, problem)


def one_of(value: str | None, allowed: Iterable[str], path: str, errors: Errors) -> None:
    """One of a few words; required."""
    if not value:
        errors.required(path)
    elif value not in (known := tuple(allowed)):
        errors.unsupported(path, value, known)


def protocol(value: str | None, path: str, errors: Errors) -> None:
    """TCP, UDP or SCTP; required."""
    one_of(value, PROTOCOLS, path, errors)


def name(value: str | None, path: str, errors: Errors, rule: str = "dns_subdomain") -> None:
    """A required reference to an object's name. `rule` is a key of names.RULES."""
    if not value:
        errors.required(path)
        return
    for problem in names.RULES[rule](value):
        errors.invalid(path, value, problem)


def csi_driver(value: str | None, path: str, errors: Errors) -> None:
    """The name of a CSI or DRA driver: a DNS subdomain in any case, at most 63 bytes; required."""
    driver = value or ""
    if not driver:
        errors.required(path)
    if len(driver.encode()) > names.LABEL_LENGTH:
        errors.too_long(path, names.LABEL_LENGTH)
    for problem in names.dns_subdomain(driver.lower()):
        errors.invalid(path, driver, problem)


def positive_amount(value: Any, path: str, errors: Errors) -> None:
    """A quantity of more than 0; a malformed one is left to the schema."""
    try:
        positive = quantity.parse(value) > 0
    except ValueError:
        return
    if not positive:
        errors.invalid(path, str(value), "must be greater than zero")


def int_or_percent(value: int | str, path: str, errors: Errors) -> None:
    """A count of 0 or more, or a percentage such as "25%"."""
    if isinstance(value, str):
        for problem in names.percent(value):
            errors.invalid(path, value, problem)
    else:
        not_negative(value, path, errors)


def at_most_all(value: int | str, path: str, errors: Errors) -> None:
    """If a percentage, no more than 100%."""
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        errors.invalid(path, value, "must not be greater than 100%")


def is_zero(value: int | str | None) -> bool:
    """Whether an int-or-percent is 0 or 0%."""
    if isinstance(value, str):
        return not names.percent(value) and int(value[:-1]) == 0
    return not value


def is_empty_selector(selector: Object) -> bool:
    """Whether a LabelSelector selects everything."""
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


def template_selected(obj: Object, errors: Errors) -> None:
    """spec.selector must match the labels of spec.template."""
    labels = at(obj, "spec", "template", "metadata", "labels") or {}
    if not selectors.from_object(at(obj, "spec", "selector")).matches(labels):
        errors.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def amount(value: Any, path: str, errors: Errors) -> None:
    """A quantity of 0 or more; a malformed one is left to the schema."""
    try:
        negative = quantity.parse(value) < 0
    except ValueError:
        return
    if negative:
        errors.invalid(path, str(value), "must be greater than or equal to 0")


def resource_name(value: str, path: str, errors: Errors) -> None:
    """The name of a resource such as `cpu` or `example.com/gpu`."""
    for problem in names.qualified_name(value):
        errors.invalid(path, value, problem)


def amounts(resources: Mapping[str, Any] | None, path: str, errors: Errors) -> None:
    """A resource list: names and quantities."""
    for key, value in (resources or {}).items():
        resource_name(key, f"{path}[{key}]", errors)
        amount(value, f"{path}[{key}]", errors)


def pod_name_warnings(obj: Object) -> list[str]:
    """What to say of a name that pods' names and hostnames are made of, where it is no DNS label."""
    problems = names.dns_label(obj["metadata"].get("name") or "")
    return [f"{_HOSTNAMES}[{' '.join(problems)}]"] if problems else []


def domain_prefixed_path(value: str, path: str, errors: Errors) -> None:
    """`acme.io/foo`: a domain, then what may stand in a URL's path."""
    host, _, rest = value.partition("/")
    if not host or not rest:
        errors.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    for problem in names.dns_subdomain(host):
        errors.invalid(path, host, problem)
    if not _HTTP_PATH.fullmatch(rest):
        errors.invalid(path, rest, f"Invalid path (regex used for validation is '{_HTTP_PATH.pattern}')")


def special_ip(value: str, path: str, errors: Errors) -> None:
    """An address a Service may lead to: not unspecified, loopback or link-local; any other text passes."""
    ip = addresses.address(value)
    if ip is None:
        return
    if ip.is_unspecified:
        errors.invalid(path, value, f"may not be unspecified ({value})")
    if ip.is_loopback:
        errors.invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if ip.is_link_local:
        errors.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if ip in _LINK_LOCAL_MULTICAST[ip.version]:
        errors.invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def endpoint_ip(value: str, path: str, errors: Errors, kept: Iterable[str] = ()) -> None:
    """The address of an endpoint; those in `kept` may be spelled as they are."""
    addresses.check_ip(value, path, errors, tuple(kept))
    special_ip(value, path, errors)
