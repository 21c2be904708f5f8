"""IP addresses and networks. Source: "Common Expression Language in Kubernetes", Kubernetes IP and CIDR libraries."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from kybern.api.cel.declared import function, inside, method, opaque, succeeds
from kybern.api.cel.goaddresses import complain

_NETWORK = "network address parse error during conversion from string: "


def _parsed(text: str) -> IPv4Address | IPv6Address:
    """Raises AddressInvalid."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        complain(text)
        raise


def _address(text: str) -> IPv4Address | IPv6Address:
    if "%" in text:
        raise ValueError(f'IP address "{text}" with zone value is not allowed')
    try:
        found = _parsed(text)
    except ValueError as error:
        raise ValueError(f'IP Address "{text}" parse error during conversion from string: {error}') from None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return found


def _ip(text: str) -> dict[str, Any]:
    return opaque("IP", str(_address(text)))


def _held(value: Any) -> IPv4Address | IPv6Address:
    return ipaddress.ip_address(inside(value))


def _is_global_unicast(value: Any) -> bool:
    found = _held(value)
    special = found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local
    return not special and str(found) != "255.255.255.255"


def _is_link_local_multicast(value: Any) -> bool:
    found = _held(value)
    inside_of = "224.0.0.0/24" if found.version == 4 else "ff02::/16"
    return found in ipaddress.ip_network(inside_of)


def _interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    address, slash, length = text.rpartition("/")
    # Upstream says so twice.
    wrong = f'{_NETWORK * 2}netip.ParsePrefix("{text}"): '
    if not slash:
        raise ValueError(wrong + "no '/'")
    try:
        found = _parsed(address)
    except ValueError as error:
        raise ValueError(wrong + str(error)) from None
    if "%" in address:
        raise ValueError(wrong + "IPv6 zones cannot be present in a prefix")
    if not length.isascii() or not length.isdigit() or (len(length) > 1 and length[0] == "0"):
        raise ValueError(wrong + f'bad bits after slash: "{length}"')
    if int(length) > found.max_prefixlen:
        raise ValueError(wrong + "prefix length out of range")
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        raise ValueError(f'{_NETWORK}IPv4-mapped IPv6 address "{text}" is not allowed')
    return ipaddress.ip_interface(text)


def _cidr(text: str) -> dict[str, Any]:
    return opaque("CIDR", str(_interface(text)))


def _prefix(value: Any) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    return _interface(value) if isinstance(value, str) else ipaddress.ip_interface(inside(value))


def _contains_ip(value: Any, other: Any) -> bool:
    address = _address(other) if isinstance(other, str) else _held(other)
    return address in _prefix(value).network


def _contains_cidr(value: Any, other: Any) -> bool:
    outer, inner = _prefix(value).network, _prefix(other).network
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


FUNCTIONS = (
    function("ip", ["string"], "IP", _ip),
    function("isIP", ["string"], "bool", succeeds(_address)),
    function("ip.isCanonical", ["string"], "bool", lambda text: str(_address(text)) == text),
    function("string", ["IP"], "string", inside),
    method("IP", "family", [], "int", lambda value: _held(value).version),
    method("IP", "isUnspecified", [], "bool", lambda value: _held(value).is_unspecified),
    method("IP", "isLoopback", [], "bool", lambda value: _held(value).is_loopback),
    method("IP", "isLinkLocalMulticast", [], "bool", _is_link_local_multicast),
    method("IP", "isLinkLocalUnicast", [], "bool", lambda value: _held(value).is_link_local),
    method("IP", "isGlobalUnicast", [], "bool", _is_global_unicast),
    function("cidr", ["string"], "CIDR", _cidr),
    function("isCIDR", ["string"], "bool", succeeds(_interface)),
    function("string", ["CIDR"], "string", inside),
    method("CIDR", "containsIP", ["string"], "bool", _contains_ip),
    method("CIDR", "containsIP", ["IP"], "bool", _contains_ip),
    method("CIDR", "containsCIDR", ["string"], "bool", _contains_cidr),
    method("CIDR", "containsCIDR", ["CIDR"], "bool", _contains_cidr),
    method("CIDR", "ip", [], "IP", lambda value: opaque("IP", str(_prefix(value).ip))),
    method("CIDR", "masked", [], "CIDR", lambda value: opaque("CIDR", str(_prefix(value).network))),
    method("CIDR", "prefixLength", [], "int", lambda value: _prefix(value).network.prefixlen),
)
