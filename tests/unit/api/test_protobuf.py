from __future__ import annotations

import pytest

from kybern.api import protobuf
from kybern.api.errors import BadRequest, UnsupportedMediaType


def text(number: int, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(data)]) + data


def body(api_version: str, kind: str, message: bytes) -> bytes:
    return b"k8s\x00" + text(1, text(1, api_version) + text(2, kind)) + text(2, message)


def test_access_review() -> None:
    attributes = text(1, "default") + text(2, "get") + text(3, "") + text(5, "pods")
    spec = text(1, attributes) + text(3, "bob") + text(4, "dev") + text(4, "ops")
    spec += text(5, text(1, "scopes") + text(2, text(1, "a") + text(1, "b")))
    found = protobuf.decode(body("authorization.k8s.io/v1", "SubjectAccessReview", text(1, b"") + text(2, spec)))
    assert found == {
        "kind": "SubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": {
            "resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"},
            "user": "bob",
            "groups": ["dev", "ops"],
            "extra": {"scopes": ["a", "b"]},
        },
    }


def test_zeroes_that_mean_something_stay() -> None:
    options = bytes([1 << 3, 0]) + text(2, text(1, "u"))
    found = protobuf.decode(body("policy/v1", "Eviction", text(1, text(1, "web")) + text(2, options)))
    assert found["deleteOptions"] == {"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}}


def test_bytes_become_base64_and_maps_merge() -> None:
    message = text(1, text(1, "s")) + text(2, text(1, "a") + text(2, b"\x00\x01")) + text(2, text(1, "b") + text(2, b""))
    assert protobuf.decode(body("v1", "Secret", message))["data"] == {"a": "AAE=", "b": ""}


def test_what_is_not_known_or_broken_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        protobuf.decode(body("example.com/v1", "Widget", b""))
    with pytest.raises(BadRequest):
        protobuf.decode(b"{}")
    with pytest.raises(BadRequest):
        protobuf.decode(body("v1", "Secret", b"\x0a\xff"))
    with pytest.raises(BadRequest):
        protobuf.decode(b"k8s\x00\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
