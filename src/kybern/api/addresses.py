"""What IP addresses and ranges may look like in objects, in upstream's words.

Fields as old as Services accept any spelling that means one thing only, and keep what they had before that was asked
(`kept`); newer ones want the canonical spelling.
Source: KEP-4858 IP/CIDR validation improvements.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import TypeAlias

from kybern.api.field import Errors

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

NOT_AN_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NOT_A_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_ZEROS = re.compile(r"(?<![0-9a-fA-F:])0+(?=[0-9])")


def family(address: Address | Network) -> str:
    """`IPv4`, `IPv6`."""
    return f"IPv{address.version}"


def address(text: str) -> Address | None:
    """The address, also where IPv4 octets have leading zeros; None where it is none."""
    try:
        return ipaddress.ip_address("" if "%" in text else _without_zeros(text))
    except ValueError:
        return None


def network(text: str) -> Network | None:
    """The range, its lower bits cleared; None where it is none."""
    base, slash, bits = text.partition("/")
    try:
        if not slash or not bits.isdecimal() or "%" in base:
            return None
        return ipaddress.ip_network(f"{_without_zeros(base)}/{int(bits)}", strict=False)
    except ValueError:
        return None


def _without_zeros(text: str) -> str:
    return text if ":" in text else _ZEROS.sub("", text)


def _is_mapped(found: Address) -> bool:
    return found.version == 6 and found.ipv4_mapped is not None


def ip_problem(text: str) -> str:
    """What is wrong with an address in an old field; "" if nothing is."""
    found = address(text)
    if found is None:
        return NOT_AN_IP
    if _without_zeros(text) != text:
        return "must not have leading 0s"
    return "must not be an IPv4-mapped IPv6 address" if _is_mapped(found) else ""


def canonical_ip_problem(text: str) -> str:
    """The same for a newer field."""
    problem = ip_problem(text)
    if problem or str(found := address(text)) == text:
        return problem
    return f'must be in canonical form ("{found}")'


def cidr_problem(text: str) -> str:
    """What is wrong with a range in an old field; "" if nothing is."""
    found = network(text)
    if found is None:
        return NOT_A_CIDR
    base, _, bits = text.partition("/")
    if _without_zeros(base) != base or str(int(bits)) != bits:
        return "must not have leading 0s in IP or prefix length"
    if _is_mapped(found.network_address):
        return "must not have an IPv4-mapped IPv6 address"
    return "" if address(base) == found.network_address else "must not have bits set beyond the prefix length"


def canonical_cidr_problem(text: str) -> str:
    """The same for a newer field."""
    problem = cidr_problem(text)
    if problem or str(found := network(text)) == text:
        return problem
    return f'must be in canonical form ("{found}")'


def check_ip(text: str, path: str, errors: Errors, kept: Collection[str] = ()) -> None:
    """An address in an old field; those in `kept` may stay as they are."""
    if text not in kept and (problem := ip_problem(text)):
        errors.invalid(path, text, problem)


def check_cidr(text: str, path: str, errors: Errors, kept: Collection[str] = ()) -> None:
    """A range in an old field; those in `kept` may stay as they are."""
    if text not in kept and (problem := cidr_problem(text)):
        errors.invalid(path, text, problem)


def ip_warnings(text: str, path: str) -> list[str]:
    """What to say of an address that is accepted but not spelled as it should be."""
    found = address(text)
    if found is None or str(found) == text:
        return []
    if _without_zeros(text) != text or _is_mapped(found):
        plain = found.ipv4_mapped if found.version == 6 else found
        return [_nonstandard(path, "IP address", text, str(plain))]
    return [f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{found}")']


def cidr_warnings(text: str, path: str) -> list[str]:
    """The same of a range."""
    found = network(text)
    if found is None or str(found) == text:
        return []
    said, base = [], address(text.partition("/")[0])
    if base != found.network_address:
        single = f"{base}/{found.max_prefixlen}"
        said.append(f'{path}: CIDR value "{text}" is ambiguous in this context (should be "{found}" or "{single}"?)')
    problem = cidr_problem(text)
    if "leading" in problem or "mapped" in problem:
        said.append(_nonstandard(path, "CIDR value", text, str(found)))
    if not said:
        said.append(f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{found}")')
    return said


def _nonstandard(path: str, what: str, text: str, better: str) -> str:
    future = "will be considered invalid in a future Kubernetes release"
    return f'{path}: non-standard {what} "{text}" {future}: use "{better}"'
