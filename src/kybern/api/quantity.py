"""Kubernetes quantities: `500m`, `1.5Gi`, `1e3`. Exact arithmetic, upstream's canonical form.

Source: API reference, Quantity. Parsing is cached: clusters use few distinct quantities.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import TypeAlias

Quantity: TypeAlias = str | int | float

PATTERN = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
MISMATCH = f"quantities must match the regular expression '{PATTERN}'"

_SHAPE = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?|[eE][+-]?[0-9]+)")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_LIMIT = Decimal(2**63 - 1)
_NANO = Decimal(1).scaleb(-9)


@lru_cache(maxsize=8192)
def _parse(text: str) -> tuple[Decimal, str]:
    """(value, format): format is "binary", "decimal" or "exponent". Raises ValueError."""
    match = _SHAPE.fullmatch(text)
    if not match:
        raise ValueError(MISMATCH)
    sign, number, suffix = match.groups()
    value = Decimal(number)
    if suffix in _BINARY:
        value, style = value * (1 << _BINARY[suffix]), "binary"
    elif suffix in _DECIMAL:
        value, style = value.scaleb(_DECIMAL[suffix]), "decimal"
    else:
        exponent = int(suffix[1:])
        if abs(exponent) > 100:
            raise ValueError("unable to parse quantity's suffix")
        value, style = value.scaleb(exponent), "exponent"
    value = min(value, _LIMIT)
    if value.as_tuple().exponent < -9:  # type: ignore[operator]
        value = value.quantize(_NANO, rounding=ROUND_CEILING)
    # A binary quantity below one is written in decimal, as upstream does it.
    if style == "binary" and value < 1024 and value != value.to_integral_value():
        style = "decimal"
    return (-value if sign == "-" else value), style


def parse(quantity: Quantity) -> Decimal:
    """The exact value. Raises ValueError with upstream's text."""
    return _parse(quantity if type(quantity) is str else _text(quantity))[0]


def _text(quantity: Quantity) -> str:
    return format(Decimal(repr(quantity)), "f") if isinstance(quantity, float) else str(quantity)


@lru_cache(maxsize=8192)
def _canonical(text: str) -> str:
    value, style = _parse(text)
    if not value:
        return "0"
    if style == "binary":
        return _binary_text(value)
    exponent = 0
    digits = value.normalize()
    power = digits.as_tuple().exponent
    assert isinstance(power, int)
    # The largest multiple of three that leaves an integer mantissa.
    exponent = power // 3 * 3
    mantissa = int(digits.scaleb(-exponent))
    if style == "exponent":
        return f"{mantissa}e{exponent}" if exponent else str(mantissa)
    while exponent > 18:
        mantissa, exponent = mantissa * 1000, exponent - 3
    return f"{mantissa}{_DECIMAL_SUFFIX[exponent]}"


def _binary_text(value: Decimal) -> str:
    if value != value.to_integral_value():
        return _canonical(format(value, "f"))
    whole, suffix = int(value), ""
    for name in _BINARY:
        if whole % 1024:
            break
        whole, suffix = whole // 1024, name
    return f"{whole}{suffix}"


def canonical(quantity: Quantity) -> str:
    """The form upstream stores: `1000m` -> `1`, `1024Mi` -> `1Gi`. Raises ValueError."""
    return _canonical(quantity if type(quantity) is str else _text(quantity))


@lru_cache(maxsize=8192)
def _milli(text: str) -> int:
    return int((_parse(text)[0] * 1000).to_integral_value(rounding=ROUND_CEILING))


@lru_cache(maxsize=8192)
def _whole(text: str) -> int:
    return int(_parse(text)[0].to_integral_value(rounding=ROUND_CEILING))


def milli(quantity: Quantity) -> int:
    """In thousandths, rounded up: how CPU is counted. Raises ValueError."""
    return _milli(quantity if type(quantity) is str else _text(quantity))


def whole(quantity: Quantity) -> int:
    """In whole units (bytes, counts), rounded up. Raises ValueError."""
    return _whole(quantity if type(quantity) is str else _text(quantity))


def from_milli(thousandths: int) -> str:
    """The canonical text of a number of thousandths."""
    return _canonical(f"{thousandths}m")


def from_bytes(count: int) -> str:
    """The canonical binary text of a number of bytes: 1073741824 -> `1Gi`."""
    return _binary_text(Decimal(count)) if count else "0"


def compare(a: Quantity, b: Quantity) -> int:
    """Negative, zero or positive as a is less than, equal to or greater than b. Raises ValueError."""
    left, right = parse(a), parse(b)
    return (left > right) - (left < right)


def add(a: Quantity, b: Quantity) -> str:
    """The sum in canonical form, in a's style (b's where a is zero). Raises ValueError."""
    first = a if parse(a) else b
    style = _parse(_text(first) if not isinstance(first, str) else first)[1]
    total = parse(a) + parse(b)
    if style == "binary" and total == total.to_integral_value():
        return _binary_text(total) if total else "0"
    return _canonical(format(total, "f"))


def times(quantity: Quantity, number: int) -> str:
    """So many of it, in canonical form. Raises ValueError."""
    value, style = _parse(quantity if type(quantity) is str else _text(quantity))
    total = value * number
    if style == "binary" and total == total.to_integral_value():
        return _binary_text(total) if total else "0"
    return _canonical(format(total, "f"))


def is_known(text: object) -> bool:
    """Whether text is certainly a canonical quantity seen before; cheap, used on hot paths."""
    return text in _KNOWN


_KNOWN: set[object] = set()


def remember(text: str) -> str:
    """Canonicalise and remember the result for `is_known`. Raises ValueError."""
    result = canonical(text)
    if len(_KNOWN) > 8192:
        _KNOWN.clear()
    _KNOWN.add(result)
    return result
