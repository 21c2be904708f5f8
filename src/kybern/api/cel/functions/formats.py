"""Named formats: `format.dns1123Label().validate(self)`.

`validate` and `format.named` are optional in the language. Here they give the empty value for none; program.py wraps
them. Source: "Common Expression Language in Kubernetes", Kubernetes format library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kybern.api import names
from kybern.api.apiextensions import formats
from kybern.api.cel.declared import function, inside, method, opaque


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """The check of a name that something follows: it may end in a dash."""
    return lambda text: check(f"{text[:-1]}a" if text.endswith("-") else text)


def _format(name: str, problem: str) -> Callable[[str], list[str]]:
    return lambda text: [] if formats.fits(name, text) else [problem]


def _uri(text: str) -> list[str]:
    return [] if formats.fits("uri", text) else [f'parse "{text}": invalid URI for request']


_CHECKS: dict[str, Callable[[str], list[str]]] = {
    "dns1123Label": names.dns_label,
    "dns1123Subdomain": names.dns_subdomain,
    "dns1035Label": names.dns1035_label,
    "qualifiedName": names.qualified_name,
    "dns1123LabelPrefix": _prefix(names.dns_label),
    "dns1123SubdomainPrefix": _prefix(names.dns_subdomain),
    "dns1035LabelPrefix": _prefix(names.dns1035_label),
    "labelValue": names.label_value,
    "uri": _uri,
    "uuid": _format("uuid", "does not match the UUID format"),
    "byte": _format("byte", "invalid base64"),
    "date": _format("date", "invalid date"),
    "datetime": _format("datetime", "invalid datetime"),
}

NAMES = frozenset(_CHECKS)


def _named(name: str) -> dict[str, Any]:
    return opaque("Format", name) if name in _CHECKS else {}


def _constant(name: str) -> Callable[[], dict[str, Any]]:
    return lambda: opaque("Format", name)


def _validate(form: Any, text: str) -> list[str]:
    return _CHECKS[inside(form)](text)


FUNCTIONS = (
    function("format.named", ["string"], "optional_type<Format>", _named),
    *(function(f"format.{name}", [], "Format", _constant(name)) for name in _CHECKS),
    method("Format", "validate", ["string"], "optional_type<list<string>>", _validate),
)
