"""Which part of a pod's status is sent."""

from __future__ import annotations

from kybern.kubelet.status_manager import difference


def test_nothing_new_is_nothing_to_send() -> None:
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    assert difference(status, dict(status)) == {}


def test_only_changed_fields_and_conditions_are_sent() -> None:
    kept, old = {"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"}
    new = {"type": "Ready", "status": "True"}
    before = {"phase": "Pending", "startTime": "x", "conditions": [kept, old]}
    after = {"phase": "Running", "startTime": "x", "conditions": [kept, new]}
    assert difference(before, after) == {"phase": "Running", "conditions": [new]}


def test_addresses_are_replaced_as_they_would_merge() -> None:
    before, after = {"podIPs": [{"ip": "10.0.0.1"}]}, {"podIPs": [{"ip": "10.0.0.2"}]}
    assert difference(before, after) == {"podIPs": [{"ip": "10.0.0.2"}, {"$patch": "replace"}]}
    assert difference({}, after) == after


def test_a_reason_that_is_over_is_taken_away() -> None:
    assert difference({"reason": "Evicted", "hostIP": "x"}, {"hostIP": "x"}) == {"reason": None}
