from __future__ import annotations

import pytest

from kybern.api import protobuf
from kybern.api.errors import BadRequest, UnsupportedMediaType


def text(number: int, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    tag = number << 3 | 2
    return bytes([tag] if tag < 128 else [tag & 0x7F | 0x80, tag >> 7]) + bytes([len(data)]) + data


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


def test_typed_clients_send_options_in_the_version_they_speak() -> None:
    found = protobuf.decode(body("apps/v1", "DeleteOptions", text(4, "Foreground")))
    assert found == {"kind": "DeleteOptions", "apiVersion": "apps/v1", "propagationPolicy": "Foreground"}


def test_bytes_become_base64_and_maps_merge() -> None:
    data = text(2, text(1, "a") + text(2, b"\x00\x01")) + text(2, text(1, "b") + text(2, b""))
    message = text(1, text(1, "s")) + data
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


def test_pods_with_inline_and_wrapped_messages() -> None:
    volume = text(1, "v") + text(2, text(19, text(1, text(1, "settings"))))
    get = text(2, text(1, "/") + text(2, bytes([1 << 3, 1]) + text(3, "http")))
    probe = text(1, get) + bytes([2 << 3, 0, 3 << 3, 1])
    limits = text(1, text(1, "cpu") + text(2, text(1, "100m")))
    container = text(1, "c") + text(8, limits) + text(10, probe) + bytes([0x80, 1, 0])
    # Field 4 (a pointer to 0), field 11 (false), field 21 (a pointer to false).
    spec = text(1, volume) + text(2, container) + bytes([4 << 3, 0, 11 << 3, 0, 0xA8, 1, 0])
    found = protobuf.decode(body("v1", "Pod", text(1, text(1, "web")) + text(2, spec)))
    assert found["spec"] == {
        "volumes": [{"name": "v", "configMap": {"name": "settings"}}],
        "containers": [
            {
                "name": "c",
                "resources": {"limits": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "timeoutSeconds": 1},
            }
        ],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
    }


def test_a_volume_shows_its_source_among_its_own_fields() -> None:
    storage = text(1, text(1, "storage") + text(2, text(1, "1Gi")))
    csi = text(22, text(1, "d.example.com") + text(2, "h") + text(6, text(1, "s") + text(2, "ns")))
    term = text(1, text(1, text(1, text(1, "zone") + text(2, "In") + text(3, "a"))))
    spec = storage + text(2, csi) + text(3, "ReadWriteOnce") + text(9, term)
    assert protobuf.decode(body("v1", "PersistentVolume", text(2, spec)))["spec"] == {
        "capacity": {"storage": "1Gi"},
        "csi": {
            "driver": "d.example.com",
            "volumeHandle": "h",
            "controllerPublishSecretRef": {"name": "s", "namespace": "ns"},
        },
        "accessModes": ["ReadWriteOnce"],
        "nodeAffinity": {
            "required": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
            }
        },
    }


def test_webhooks_rules_lie_in_messages_of_their_own() -> None:
    rule = text(1, "CREATE") + text(2, text(1, "") + text(2, "v1") + text(3, "pods") + text(4, "*"))
    service = text(1, text(1, "ns") + text(2, "hook") + bytes([4 << 3, 8]))
    hook = text(1, "h.example.com") + text(2, service) + text(3, rule) + text(8, "v1") + text(10, b"")
    found = protobuf.decode(body("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", text(2, hook)))
    assert found["webhooks"] == [
        {
            "name": "h.example.com",
            "clientConfig": {"service": {"namespace": "ns", "name": "hook", "port": 8}},
            "rules": [
                {
                    "operations": ["CREATE"],
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "resources": ["pods"],
                    "scope": "*",
                }
            ],
            "admissionReviewVersions": ["v1"],
            "objectSelector": {},
        }
    ]


def test_a_slice_of_devices() -> None:
    number = text(2, text(1, "cores") + text(2, bytes([2 << 3, 8])))
    fast = text(2, text(1, "fast") + text(2, bytes([3 << 3, 0])))
    memory = text(3, text(1, "memory") + text(2, text(1, text(1, "8Gi"))))
    spec = text(1, "d.example.com") + text(2, text(1, "pool") + bytes([2 << 3, 0, 3 << 3, 1])) + text(3, "node")
    spec += text(6, text(1, "gpu-0") + number + fast + memory)
    found = protobuf.decode(body("resource.k8s.io/v1", "ResourceSlice", text(2, spec)))
    assert found["spec"] == {
        "driver": "d.example.com",
        "pool": {"name": "pool", "generation": 0, "resourceSliceCount": 1},
        "nodeName": "node",
        "devices": [
            {
                "name": "gpu-0",
                "attributes": {"cores": {"int": 8}, "fast": {"bool": False}},
                "capacity": {"memory": {"value": "8Gi"}},
            }
        ],
    }


def test_an_empty_class_is_not_the_same_as_none() -> None:
    """A claim with storageClassName "" wants a volume without a class; one without the field, the default class."""
    found = protobuf.decode(body("v1", "PersistentVolumeClaim", text(2, text(3, "") + text(5, ""))))
    assert found["spec"] == {"storageClassName": ""}


def test_a_map_holds_what_it_says_it_holds() -> None:
    """A number where a message or text should be is malformed, not an error of the server's."""
    number = bytes([2 << 3, 7])
    for kind, message in (("ConfigMap", text(2, text(1, "k") + number)),
                          ("Node", text(3, text(1, text(1, "cpu") + number)))):  # fmt: skip
        with pytest.raises(BadRequest, match="wrong wireType = 0 for the value of"):
            protobuf.decode(body("v1", kind, message))


def test_numbers_that_no_version_has_are_skipped() -> None:
    """As upstream does: a newer client may say more."""
    message = text(1, text(1, "s") + text(1000, "x")) + text(1001, b"\xff") + bytes([102 << 3 & 0x7F | 0x80, 6, 1])
    assert protobuf.decode(body("v1", "Secret", message))["metadata"] == {"name": "s"}
