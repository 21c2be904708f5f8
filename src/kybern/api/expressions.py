"""CEL, as the API uses it in validation rules: compiled once, evaluated over plain JSON values.

The language comes from a library; functions that Kubernetes adds are here. Values of those functions' own types
(quantities, URLs, addresses) are maps with one key that says which.
Source: Kubernetes documentation, "Common Expression Language in Kubernetes".
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from kybern.api import quantity
from kybern.api.types import Object

if TYPE_CHECKING:
    import cel


class ExpressionError(Exception):
    """An expression that can't be compiled or whose evaluation failed; the message says why."""


class Expression:
    """A compiled expression. Raises ExpressionError if it is none."""

    __slots__ = ("_program", "variables")

    def __init__(self, text: str) -> None:
        # The library brings 10 MiB of a command line of its own along, and many clusters have no rules.
        import cel

        try:
            self._program = cel.compile(text)
        except ValueError as error:
            raise ExpressionError(str(error).partition(": ")[2] or str(error)) from None
        self.variables = frozenset(self._program.variables())
        """The names it uses."""

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """Its value. Raises ExpressionError."""
        context = _context()
        context.update(dict(variables))
        try:
            return self._program.execute(context)
        except KeyError as error:
            raise ExpressionError(f"no such key: {error.args[0]}") from None
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ExpressionError(str(error)) from None


@lru_cache(maxsize=4096)
def compiled(text: str) -> Expression:
    """The expression, compiled once. Raises ExpressionError."""
    return Expression(text)


def optional(value: Any, present: bool) -> Any:
    """A CEL optional of a value."""
    import cel

    return cel.OptionalValue.of(value) if present else cel.OptionalValue.none()


@lru_cache(maxsize=1)
def _context() -> cel.Context:
    """The one context: variables are set anew for each evaluation, which takes place in one go."""
    import cel
    from cel.stdlib import STDLIB_FUNCTIONS

    return cel.Context(functions={**STDLIB_FUNCTIONS, **_FUNCTIONS})


# Lists and strings.


def _is_sorted(items: list[Any]) -> bool:
    return all(a <= b for a, b in pairwise(items))


def _index_of(value: Any, part: Any, start: int = 0) -> int:
    if isinstance(value, str):
        return value.find(part, start)
    return value.index(part) if part in value else -1


def _last_index_of(value: Any, part: Any, *limit: int) -> int:
    if isinstance(value, str):
        return value.rfind(part, 0, limit[0] + len(part)) if limit else value.rfind(part)
    return len(value) - 1 - value[::-1].index(part) if part in value else -1


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


def _format(text: str, values: list[Any]) -> str:
    """`'%s is %d'.format([...])`: the verbs s, d, f, e, x, X, o, b."""
    left = iter(values)

    def one(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        value = next(left)
        if match[1] == "s":
            return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
        return format(value, match[0][1:].replace("d", "")) if match[1] != "d" else str(value)

    return re.sub(r"%(?:\.\d+)?([sdfexXob])|%%", one, text)


# Quantities.

_QUANTITY, _URL, _IP, _CIDR = "@quantity", "@url", "@ip", "@cidr"


def _succeeds(parse: Callable[[str], object], text: Any) -> bool:
    try:
        parse(text)
    except (ValueError, TypeError):
        return False
    return True


def _quantity(text: str) -> Object:
    return {_QUANTITY: quantity.canonical(text)}


def _amount(value: Any) -> Decimal:
    if isinstance(value, dict):
        return quantity.parse(value[_QUANTITY])
    return Decimal(value)


def _sum(a: Object, b: Any, sign: int) -> Object:
    return {_QUANTITY: quantity.canonical(format(_amount(a) + sign * _amount(b), "f"))}


def _compare(a: Any, b: Any) -> int:
    left, right = _amount(a), _amount(b)
    return (left > right) - (left < right)


def _is_whole(value: Any) -> bool:
    return _amount(value) == _amount(value).to_integral_value()


# URLs and addresses.


def _url(text: str) -> Object:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")):
        raise ValueError(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")
    return {_URL: text}


def _port(value: Object) -> str:
    port = urlsplit(value[_URL]).port
    return "" if port is None else str(port)


def _ip(text: str) -> Object:
    return {_IP: str(ipaddress.ip_address(text))}


def _cidr(text: str) -> Object:
    if "/" not in text:
        raise ValueError(f"invalid CIDR address {text}")
    return {_CIDR: str(ipaddress.ip_interface(text))}


def _network(value: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_interface(value[_CIDR] if isinstance(value, dict) else value).network


def _contains_ip(value: Object, address: Any) -> bool:
    return ipaddress.ip_address(address[_IP] if isinstance(address, dict) else address) in _network(value)


def _contains_cidr(value: Object, other: Any) -> bool:
    outer, inner = _network(value), _network(other)
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _family(value: Object) -> int:
    return ipaddress.ip_interface(next(iter(value.values()))).version


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "isSorted": _is_sorted,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "find": _find,
    "findAll": _find_all,
    "format": _format,
    "isQuantity": lambda text: _succeeds(quantity.parse, text),
    "quantity": _quantity,
    "compareTo": _compare,
    "isLessThan": lambda a, b: _compare(a, b) < 0,
    "isGreaterThan": lambda a, b: _compare(a, b) > 0,
    "add": lambda a, b: _sum(a, b, 1),
    "sub": lambda a, b: _sum(a, b, -1),
    "sign": lambda a: _compare(a, 0),
    "isInteger": _is_whole,
    "asInteger": lambda a: int(_amount(a)),
    "asApproximateFloat": lambda a: float(_amount(a)),
    "isURL": lambda text: _succeeds(_url, text),
    "url": _url,
    "getScheme": lambda value: urlsplit(value[_URL]).scheme,
    "getHost": lambda value: urlsplit(value[_URL]).netloc.rpartition("@")[2],
    "getHostname": lambda value: urlsplit(value[_URL]).hostname or "",
    "getPort": _port,
    "getEscapedPath": lambda value: urlsplit(value[_URL]).path,
    "getQuery": lambda value: parse_qs(urlsplit(value[_URL]).query, keep_blank_values=True),
    "isIP": lambda text: _succeeds(_ip, text),
    "ip": _ip,
    "family": _family,
    "isLoopback": lambda value: ipaddress.ip_address(value[_IP]).is_loopback,
    "isUnspecified": lambda value: ipaddress.ip_address(value[_IP]).is_unspecified,
    "isCIDR": lambda text: _succeeds(_cidr, text),
    "cidr": _cidr,
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "prefixLength": lambda value: ipaddress.ip_interface(value[_CIDR]).network.prefixlen,
}
