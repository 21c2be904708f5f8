from __future__ import annotations

import pytest

from kybern.controllers.servicecidr import removable


def cidr(name, *cidrs, **metadata):
    return {"metadata": {"name": name, **metadata}, "spec": {"cidrs": list(cidrs)}}


def address(name, manager="ipallocator.k8s.io"):
    return {"metadata": {"name": name, "labels": {"ipaddress.kubernetes.io/managed-by": manager}}}


@pytest.mark.parametrize(
    ("others", "addresses", "free"),
    [
        ([], [], True),
        ([], [address("10.0.0.5")], False),
        ([], [address("10.1.0.5"), address("fd00::5")], True),
        ([], [address("10.0.0.5", "somebody.example.com")], True),
        ([cidr("whole", "10.0.0.0/16")], [address("10.0.0.5")], True),
        ([cidr("part", "10.0.0.0/29")], [address("10.0.0.5")], True),
        ([cidr("part", "10.0.0.0/29")], [address("10.0.0.5"), address("10.0.0.9")], False),
        ([cidr("whole", "10.0.0.0/16", deletionTimestamp="2026-01-01T00:00:00Z")], [address("10.0.0.5")], False),
    ],
)
def test_a_range_goes_when_no_address_is_its_alone(others, addresses, free):
    going = cidr("going", "10.0.0.0/24", "fd01::/112")
    assert removable(going, [going, *others], addresses) is free
