from __future__ import annotations

import pytest

from kybern.api import addresses


@pytest.mark.parametrize(
    ("text", "old_field", "new_field"),
    [
        ("10.0.0.1", "", ""),
        ("fe80::1", "", ""),
        ("010.0.0.1", "must not have leading 0s", "must not have leading 0s"),
        ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address", "must not be an IPv4-mapped IPv6 address"),
        ("FE80:0::1", "", 'must be in canonical form ("fe80::1")'),
        ("fe80::1%eth0", addresses.NOT_AN_IP, addresses.NOT_AN_IP),
        ("10.0.0", addresses.NOT_AN_IP, addresses.NOT_AN_IP),
    ],
)
def test_addresses(text: str, old_field: str, new_field: str) -> None:
    assert (addresses.ip_problem(text), addresses.canonical_ip_problem(text)) == (old_field, new_field)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("10.0.0.0/8", ""),
        ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
        ("10.00.0.0/8", "must not have leading 0s in IP or prefix length"),
        ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
        ("::ffff:1.2.3.0/120", "must not have an IPv4-mapped IPv6 address"),
        ("10.0.0.0/255.0.0.0", addresses.NOT_A_CIDR),
        ("10.0.0.0", addresses.NOT_A_CIDR),
        ("10.0.0.0/33", addresses.NOT_A_CIDR),
    ],
)
def test_ranges(text: str, problem: str) -> None:
    assert addresses.cidr_problem(text) == problem


def test_warnings() -> None:
    assert addresses.ip_warnings("10.1.2.3", "p") == []
    assert addresses.ip_warnings("010.1.2.3", "p") == [
        'p: non-standard IP address "010.1.2.3" will be considered invalid in a future Kubernetes release: '
        'use "10.1.2.3"'
    ]
    assert addresses.ip_warnings("2001:DB8::1", "p") == [
        'p: IPv6 address "2001:DB8::1" should be in RFC 5952 canonical format ("2001:db8::1")'
    ]
    assert addresses.cidr_warnings("10.1.2.3/8", "p") == [
        'p: CIDR value "10.1.2.3/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.1.2.3/32"?)'
    ]
    assert addresses.cidr_warnings("2001:DB8::/32", "p") == [
        'p: IPv6 CIDR value "2001:DB8::/32" should be in RFC 5952 canonical format ("2001:db8::/32")'
    ]
