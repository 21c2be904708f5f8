"""What is wrong with the text of an IP address, in the words of Go's net/netip."""

from __future__ import annotations

_FIELDS, _BYTES = 3, 16


class AddressInvalid(ValueError):
    """A text that is no address."""

    def __init__(self, text: str, why: str, at: str = "") -> None:
        super().__init__(f'ParseAddr("{text}"): {why}' + (f' (at "{at}")' if at else ""))


def complain(text: str) -> None:
    """Raises AddressInvalid for a text that is no address."""
    first = next((char for char in text if char in ".:%"), "")
    if first == ".":
        _check_v4(text, text)
    elif first == ":":
        _check_v6(text)
    why = "missing IPv6 address" if first == "%" else "unable to parse IP"
    raise AddressInvalid(text, why)


def _check_v4(text: str, fields: str) -> None:
    value = digits = position = 0
    for index, char in enumerate(fields):
        if char in "0123456789":
            if digits == 1 and value == 0:
                raise AddressInvalid(text, "IPv4 field has octet with leading zero")
            value, digits = value * 10 + int(char), digits + 1
            if value > 255:
                raise AddressInvalid(text, "IPv4 field has value >255")
        elif char == ".":
            if index in (0, len(fields) - 1) or fields[index - 1] == ".":
                raise AddressInvalid(text, "IPv4 field must have at least one digit", fields[index:])
            if position == _FIELDS:
                raise AddressInvalid(text, "IPv4 address too long")
            position, value, digits = position + 1, 0, 0
        else:
            raise AddressInvalid(text, "unexpected character", fields[index:])
    if position < _FIELDS:
        raise AddressInvalid(text, "IPv4 address too short")


def _check_v6(text: str) -> None:
    rest = text[2:] if text.startswith("::") else text
    skips, at = rest is not text, 0
    while at < _BYTES and rest:
        size = len(rest) - len(rest.lstrip("0123456789abcdefABCDEF"))
        if size > 4:
            raise AddressInvalid(text, "each group must have 4 or fewer digits", rest)
        if not size:
            raise AddressInvalid(text, "each colon-separated field must have at least one digit", rest)
        if rest[size : size + 1] == ".":
            if not skips and at != _BYTES - 4:
                why = "embedded IPv4 address must replace the final 2 fields of the address"
                raise AddressInvalid(text, why, rest)
            _check_v4(text, rest)
            return
        at, rest = at + 2, rest[size:]
        if not rest:
            break
        if rest[0] != ":":
            raise AddressInvalid(text, "unexpected character, want colon", rest)
        if len(rest) == 1:
            raise AddressInvalid(text, "colon must be followed by more characters", rest)
        rest = rest[1:]
        if rest[0] == ":":
            if skips:
                raise AddressInvalid(text, "multiple :: in address", rest)
            skips, rest = True, rest[1:]
    if rest:
        raise AddressInvalid(text, "trailing garbage after address", rest)
    if at < _BYTES and not skips:
        raise AddressInvalid(text, "address string too short")
    if at == _BYTES and skips:
        raise AddressInvalid(text, "the :: must expand to at least one field of zeros")
