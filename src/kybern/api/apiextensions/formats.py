"""The string formats that a schema may ask for; upstream ignores formats it doesn't know, and so is it here.

Source: API reference, JSONSchemaProps v1 apiextensions.k8s.io, `format`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

_DURATION = re.compile(r"[-+]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d|w))+|0")
_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>.]+(\.[^@\s<>.]+)*")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MAC = re.compile(r"(?i)([0-9a-f]{2}[:-]){5}([0-9a-f]{2}[:-]){0,2}[0-9a-f]{2}|([0-9a-f]{4}\.){2}[0-9a-f]{4}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def fits(name: str, text: str) -> bool:
    """Whether a string has the format; unknown formats fit anything."""
    check = _CHECKS.get(name.replace("-", ""))
    return check is None or check(text)


def _succeeds(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


def _moment(text: str) -> bool:
    match = _MOMENT.fullmatch(text)
    return match is not None and _succeeds(datetime.fromisoformat)(text[:19].upper().replace(" ", "T"))


def _network(text: str) -> bool:
    return "/" in text and _succeeds(lambda t: ipaddress.ip_network(t, strict=False))(text)


def _hostname(text: str) -> bool:
    return 0 < len(text) < 256 and all(_HOST_LABEL.fullmatch(label) for label in text.removesuffix(".").split("."))


def _uri(text: str) -> bool:
    """An absolute URI or an absolute path, as upstream's parser of request URIs has it."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return " " not in text and (bool(parts.scheme) or text.startswith("/"))


def _uuid(version: str) -> Callable[[str], bool]:
    return lambda text: _UUID.fullmatch(text) is not None and text.replace("-", "")[12] == version


_CHECKS: dict[str, Callable[[str], bool]] = {
    "byte": _succeeds(lambda text: base64.b64decode(text, validate=True)),
    "cidr": _network,
    "date": lambda text: len(text) == 10 and _succeeds(date.fromisoformat)(text),
    "datetime": _moment,
    "duration": _matches(_DURATION),
    "email": _matches(_EMAIL),
    "hostname": _hostname,
    "ipv4": _succeeds(ipaddress.IPv4Address),
    "ipv6": _succeeds(ipaddress.IPv6Address),
    "mac": _matches(_MAC),
    "uri": _uri,
    "uuid": _matches(_UUID),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
}
