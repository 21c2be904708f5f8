"""URLs. Source: "Common Expression Language in Kubernetes", Kubernetes URL library."""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from kybern.api.cel.declared import function, inside, method, opaque, succeeds


def _parse(text: str) -> dict[str, Any]:
    """An absolute URI or an absolute path, as in a request line."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018
    except ValueError as error:
        raise ValueError(f'URL parse error during conversion from string: parse "{text}": {error}') from None
    if not (parts.scheme or text.startswith("/")) or " " in parts.netloc:
        raise ValueError(
            f'URL parse error during conversion from string: parse "{text}": invalid URI for request'
        )
    return opaque("URL", text)


def _parts(value: Any) -> SplitResult:
    return urlsplit(str(inside(value)))


def _host(value: Any) -> str:
    return _parts(value).netloc.rpartition("@")[2]


def _hostname(value: Any) -> str:
    host = _host(value)
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _port(value: Any) -> str:
    return _host(value).rpartition("]")[2].partition(":")[2]


FUNCTIONS = (
    function("url", ["string"], "URL", _parse),
    function("isURL", ["string"], "bool", succeeds(_parse)),
    method("URL", "getScheme", [], "string", lambda value: _parts(value).scheme),
    method("URL", "getHost", [], "string", _host),
    method("URL", "getHostname", [], "string", _hostname),
    method("URL", "getPort", [], "string", _port),
    method("URL", "getEscapedPath", [], "string", lambda value: _parts(value).path),
    method(
        "URL", "getQuery", [], "map<string, list<string>>",
        lambda value: parse_qs(_parts(value).query, keep_blank_values=True),
    ),
)  # fmt: skip
