"""Every kind, in every version, comes back from protobuf with every field."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import protobuf, protobuf_encode
from kybern.api.resource import Resource
from tests.integration.apiserver import filling
from tests.integration.apiserver.test_every_kind import STORED, named


@pytest.mark.parametrize(("kind", "version"), STORED, ids=[f"{k.api_version(v)}-{k.kind}" for k, v in STORED])
def test_every_field_of_every_kind_comes_back(kind: Resource, version: str) -> None:
    definition = filling.by_kind()[(kind.group, version, kind.kind)]
    for variant in range(filling.variants(definition)):
        obj = named(kind, version, filling.filled(definition, variant), variant)
        obj["metadata"]["managedFields"] = [
            {"manager": "m", "fieldsV1": {"f:metadata": {}}, "time": "2030-01-02T03:04:05Z"}
        ]
        assert same(obj, protobuf.decode(protobuf_encode.encode(obj)))
        listed = {"kind": f"{kind.kind}List", "apiVersion": obj["apiVersion"], "metadata": {}, "items": [obj, obj]}
        assert same(listed, protobuf.decode(protobuf_encode.encode(listed)))


def same(sent: Any, got: Any, path: str = "") -> bool:
    """Whether two objects are the same, but for zeroes that one leaves away, and types that messages don't say."""
    if isinstance(sent, dict) and isinstance(got, dict):
        names = sent.keys() | got.keys()
        if "metadata" in sent and path:
            names -= {"kind", "apiVersion"}
        return all(same(sent.get(name), got.get(name), f"{path}.{name}") for name in names)
    if isinstance(sent, list) and isinstance(got, list):
        return len(sent) == len(got) and all(same(*pair, f"{path}[]") for pair in zip(sent, got, strict=True))
    assert sent == got or not (sent or got), (path, sent, got)
    return True
