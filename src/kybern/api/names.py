"""What names may look like. Each rule gives a list of complaints in upstream's words; empty means valid.

Source: API concepts, "Object Names and IDs"; RFC 1123, RFC 1035, RFC 6335.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache

from kybern.api import addresses

LABEL_LENGTH = 63
SUBDOMAIN_LENGTH = 253

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"

_ALPHANUMERIC_ENDS = "must start and end with an alphanumeric character"


def too_long(limit: int) -> str:
    """The complaint about a text of more than `limit` bytes."""
    return f"must be no more than {limit} bytes"


def _shape(pattern: str, text: str, *examples: str) -> tuple[Callable[[str], object], str]:
    """A matcher and the complaint when it fails."""
    shown = " or ".join(f"'{example}', " for example in examples)
    hint = f"e.g. {shown}" if examples else ""
    return re.compile(pattern, re.ASCII).fullmatch, f"{text} ({hint}regex used for validation is '{pattern}')"


_is_label, _LABEL_TEXT = _shape(
    _LABEL,
    f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and {_ALPHANUMERIC_ENDS}",
    "my-name",
    "123-abc",
)
_is_subdomain, _SUBDOMAIN_TEXT = _shape(
    _SUBDOMAIN,
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    f"and {_ALPHANUMERIC_ENDS}",
    "example.com",
)
_is_label_1035, _LABEL_1035_TEXT = _shape(
    _LABEL_1035,
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    "my-name",
    "abc-123",
)
_is_qualified, _QUALIFIED_TEXT = _shape(
    _QUALIFIED,
    f"must consist of alphanumeric characters, '-', '_' or '.', and {_ALPHANUMERIC_ENDS}",
    "MyName",
    "my.name",
    "123-abc",
)
_is_label_value, _LABEL_VALUE_TEXT = _shape(
    _LABEL_VALUE,
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    f"and {_ALPHANUMERIC_ENDS}",
    "MyValue",
    "my_value",
    "12345",
)
_is_config_key, _CONFIG_KEY_TEXT = _shape(
    "[-._a-zA-Z0-9]+",
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    "key.name",
    "KEY_NAME",
    "key-name",
)
_is_header, _HEADER_TEXT = _shape(
    "[-A-Za-z0-9]+", "a valid HTTP header must consist of alphanumeric characters or '-'", "X-Header-Name"
)
_is_percent, _PERCENT_TEXT = _shape(
    "[0-9]+%", "a valid percent string must be a numeric string followed by an ending '%'", "1%", "93%"
)
_is_wildcard, _WILDCARD_TEXT = _shape(
    rf"\*\.{_SUBDOMAIN}",
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    "*.example.com",
)
_ENV_NAME = re.compile("[ -<>-~]+")
_PORT_NAME = re.compile("[-a-z0-9]+")


def dns_label(name: str) -> list[str]:
    """An RFC 1123 label: namespaces, containers, volumes."""
    problems = [too_long(LABEL_LENGTH)] if len(name.encode()) > LABEL_LENGTH else []
    return problems if _is_label(name) else [*problems, _LABEL_TEXT]


def dns_subdomain(name: str) -> list[str]:
    """An RFC 1123 subdomain: what most objects are named."""
    problems = [too_long(SUBDOMAIN_LENGTH)] if len(name.encode()) > SUBDOMAIN_LENGTH else []
    return problems if _is_subdomain(name) else [*problems, _SUBDOMAIN_TEXT]


def dns1035_label(name: str) -> list[str]:
    """An RFC 1035 label."""
    problems = [too_long(LABEL_LENGTH)] if len(name.encode()) > LABEL_LENGTH else []
    return problems if _is_label_1035(name) else [*problems, _LABEL_1035_TEXT]


def wildcard_subdomain(name: str) -> list[str]:
    """`*.example.com`."""
    problems = [too_long(SUBDOMAIN_LENGTH)] if len(name.encode()) > SUBDOMAIN_LENGTH else []
    return problems if _is_wildcard(name) else [*problems, _WILDCARD_TEXT]


def path_segment(name: str) -> list[str]:
    """Anything that can stand in a URL path: RBAC names."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{c}'" for c in "/%" if c in name]


def _prefixed(prefix: str, problems: list[str]) -> list[str]:
    return [f"{prefix} {problem}" for problem in problems]


@lru_cache(maxsize=4096)
def _qualified_name(name: str) -> tuple[str, ...]:
    prefix, slash, last = name.rpartition("/")
    if "/" in prefix:
        hint = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return (f"a qualified name {_QUALIFIED_TEXT}{hint}",)
    problems = []
    if slash:
        problems += ["prefix part must be non-empty"] if not prefix else _prefixed("prefix part", dns_subdomain(prefix))
    if not last:
        problems.append("name part must be non-empty")
    elif len(last.encode()) > LABEL_LENGTH:
        problems.append(f"name part {too_long(LABEL_LENGTH)}")
    if not _is_qualified(last):
        problems.append(f"name part {_QUALIFIED_TEXT}")
    return tuple(problems)


def qualified_name(name: str) -> list[str]:
    """`name` or `dns.prefix/name`: label and annotation keys, resource names."""
    return list(_qualified_name(name))


@lru_cache(maxsize=4096)
def _label_value_problems(value: str) -> tuple[str, ...]:
    problems = (too_long(LABEL_LENGTH),) if len(value.encode()) > LABEL_LENGTH else ()
    return problems if _is_label_value(value) else (*problems, _LABEL_VALUE_TEXT)


def label_value(value: str) -> list[str]:
    """A label's value."""
    return list(_label_value_problems(value))


def config_key(key: str) -> list[str]:
    """A key of a ConfigMap or Secret."""
    problems = [too_long(SUBDOMAIN_LENGTH)] if len(key.encode()) > SUBDOMAIN_LENGTH else []
    if not _is_config_key(key):
        problems.append(_CONFIG_KEY_TEXT)
    return problems + _directory_like(key)


def _directory_like(text: str) -> list[str]:
    if text in (".", ".."):
        return [f"must not be '{text}'"]
    return ["must not start with '..'"] if text.startswith("..") else []


def env_name(name: str) -> list[str]:
    """An environment variable's name (relaxed rule: any printable ASCII but `=`)."""
    if not name:
        return ["environment variable name must not be empty"]
    if not _ENV_NAME.fullmatch(name):
        return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    return []


def port_name(name: str) -> list[str]:
    """An IANA service name."""
    problems = [too_long(15)] if len(name) > 15 else []
    if not _PORT_NAME.fullmatch(name):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        problems.append("must contain at least one letter (a-z)")
    if "--" in name:
        problems.append("must not contain consecutive hyphens")
    if name[:1] == "-" or name[-1:] == "-":
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(port: int) -> list[str]:
    """A TCP, UDP or SCTP port."""
    return [] if 1 <= port <= 65535 else ["must be between 1 and 65535, inclusive"]


def http_header(name: str) -> list[str]:
    """An HTTP header's name."""
    return [] if _is_header(name) else [_HEADER_TEXT]


def percent(text: str) -> list[str]:
    """`25%`."""
    return [] if _is_percent(text) else [_PERCENT_TEXT]


def ip_address(text: str) -> list[str]:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []


def canonical_ip(text: str) -> list[str]:
    """An address spelled as IPAddress objects are named."""
    problem = addresses.canonical_ip_problem(text)
    return [problem] if problem else []


RULES: dict[str, Callable[[str], list[str]]] = {
    "dns_subdomain": dns_subdomain,
    "dns_label": dns_label,
    "dns1035_label": dns1035_label,
    "path_segment": path_segment,
    "ip_address": canonical_ip,
}
"""By the names that `Resource.validates_name` uses."""
