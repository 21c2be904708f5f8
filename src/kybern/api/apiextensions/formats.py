"""The formats that a schema may ask for; upstream ignores formats it doesn't know, and so is it here.

Source: API reference, JSONSchemaProps v1 apiextensions.k8s.io, `format`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

from kybern.api import names

_BYTE = r"(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])"
_CARD = re.compile(
    r"4\d{12}(\d{3})?|5[1-5]\d{14}|(222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|6(011|5\d\d)\d{12}"
    r"|3[47]\d{13}|3(0[0-5]|[68]\d)\d{11}|(2131|1800|35\d{3})\d{11}|6[27]\d{14}"
)
_DURATION = re.compile(r"[-+]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d|w))+|0")
_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>.]+(\.[^@\s<>.]+)*")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MAC = re.compile(r"(?i)([0-9a-f]{2}[:-]){5}([0-9a-f]{2}[:-]){0,2}[0-9a-f]{2}|([0-9a-f]{4}\.){2}[0-9a-f]{4}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)")
_RGB = re.compile(rf"rgb\(\s*{_BYTE}\s*,\s*{_BYTE}\s*,\s*{_BYTE}\s*\)")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def fits(name: str, text: str) -> bool:
    """Whether a string has the format; unknown formats fit anything."""
    check = _CHECKS.get(name.replace("-", ""))
    return check is None or check(text)


def unknown(schema: Any) -> Iterator[str]:
    """The formats, in a schema and below it, that mean nothing for the type they stand at."""
    if not isinstance(schema, dict):
        return
    kind, form = schema.get("type"), schema.get("format")
    known = _KNOWN.get(kind) if isinstance(kind, str) else None
    if known is not None and isinstance(form, str) and form and form.replace("-", "") not in known:
        yield form
    for name in ("items", "additionalProperties", "not"):
        yield from unknown(schema.get(name))
    for name in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(name) or ():
            yield from unknown(part)
    for part in (schema.get("properties") or {}).values():
        yield from unknown(part)


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


def _uuid(version: str, variants: str = "0123456789abcdef") -> Callable[[str], bool]:
    def check(text: str) -> bool:
        digits = text.replace("-", "").lower()
        return _UUID.fullmatch(text) is not None and digits[12] == version and digits[16] in variants

    return check


def _isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text)
    if re.fullmatch(r"[0-9]{9}[0-9X]", digits) is None:
        return False
    return sum(place * (10 if d == "X" else int(d)) for place, d in enumerate(digits, 1)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text)
    if re.fullmatch(r"[0-9]{13}", digits) is None:
        return False
    return sum((3 if place % 2 else 1) * int(d) for place, d in enumerate(digits)) % 10 == 0


def _card(text: str) -> bool:
    """A credit card's number: a known issuer's, and Luhn's sum holds."""
    digits = re.sub(r"[^0-9]+", "", text)
    doubled = [int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits))]
    return _CARD.fullmatch(digits) is not None and sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


_CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches(re.compile(r"[0-9a-fA-F]{24}")),
    "byte": _succeeds(lambda text: base64.b64decode(text, validate=True)),
    "cidr": _network,
    "creditcard": _card,
    "date": lambda text: len(text) == 10 and _succeeds(date.fromisoformat)(text),
    "datetime": _moment,
    "duration": _matches(_DURATION),
    "email": _matches(_EMAIL),
    "hexcolor": _matches(re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")),
    "hostname": _hostname,
    "ipv4": _succeeds(ipaddress.IPv4Address),
    "ipv6": _succeeds(ipaddress.IPv6Address),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "k8slongname": lambda text: not names.dns_subdomain(text),
    "k8sshortname": lambda text: not names.dns_label(text),
    "mac": _matches(_MAC),
    "rgbcolor": _matches(_RGB),
    "ssn": _matches(re.compile(r"[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}")),
    "uri": _uri,
    "uuid": _matches(_UUID),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4", "89ab"),
    "uuid5": _uuid("5", "89ab"),
}
NUMERIC = {"integer": frozenset(("int32", "int64")), "number": frozenset(("float", "double"))}
"""The formats of numbers, by their types."""
_KNOWN = {"string": frozenset((*_CHECKS, "password")), **NUMERIC}
