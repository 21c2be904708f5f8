"""Canonical subsets of Endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core.endpointsubsets import repacked


def ip(address: str, uid: str = "") -> dict[str, Any]:
    return {"ip": address, **({"targetRef": {"uid": uid}} if uid else {})}


def port(number: int, name: str = "") -> dict[str, Any]:
    return {"port": number, "protocol": "TCP", **({"name": name} if name else {})}


A, B, P, Q = ip("10.0.0.1"), ip("10.0.0.2"), port(80, "a"), port(81, "b")


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        ([], []),
        ([{"ports": [P]}], []),
        ([{"addresses": [A]}], [{"addresses": [A]}]),
        ([{"addresses": [B, A], "ports": [Q, P]}], [{"addresses": [A, B], "ports": [P, Q]}]),
        ([{"addresses": [A], "ports": [P]}, {"addresses": [B], "ports": [P]}], [{"addresses": [A, B], "ports": [P]}]),
        ([{"addresses": [A], "ports": [P]}, {"addresses": [A], "ports": [Q]}], [{"addresses": [A], "ports": [P, Q]}]),
        (
            [{"addresses": [A, B], "ports": [P]}, {"addresses": [A], "ports": [Q]}],
            [{"addresses": [A, B], "ports": [P]}, {"addresses": [A], "ports": [Q]}],
        ),
        # Not ready beats ready, in whatever order.
        (
            [{"notReadyAddresses": [A], "ports": [P]}, {"addresses": [A], "ports": [P]}],
            [{"notReadyAddresses": [A], "ports": [P]}],
        ),
        (
            [{"addresses": [A], "ports": [P]}, {"notReadyAddresses": [A], "ports": [P]}],
            [{"notReadyAddresses": [A], "ports": [P]}],
        ),
        # One address of two pods is two.
        (
            [{"addresses": [ip("10.0.0.1", "x"), ip("10.0.0.1", "y"), ip("10.0.0.1", "x")], "ports": [P]}],
            [{"addresses": [ip("10.0.0.1", "x"), ip("10.0.0.1", "y")], "ports": [P]}],
        ),
    ],
)
def test_repacked(subsets: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert repacked(subsets) == expected
    assert repacked(repacked(subsets)) == repacked(subsets)
