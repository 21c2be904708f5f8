"""What clients send, as functions of bytes: each raises the errors it documents, or the fuzzer has found something.

Shared by atheris (run.py) and hypothesis (tests/unit/api/test_fuzz_targets.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson

from kybern.api import codec, decoding, patch, protobuf, protobuf_encode, quantity, schema, selectors
from kybern.api.apply import apply
from kybern.api.cel.program import ExpressionError, compiled
from kybern.api.errors import APIError
from kybern.api.schema import Type
from kybern.api.strategic import strategic_merge_patch
from kybern.apiserver import paging
from kybern.apiserver.request import Request
from kybern.testing import builders

Target = Callable[[bytes], None]

_LIVE = {
    "kind": "Deployment", "apiVersion": "apps/v1",
    "metadata": {"name": "web", "namespace": "default", "labels": {"a": "b"}, "finalizers": ["x.example/a"]},
    "spec": {
        "replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "strategy": {"type": "RollingUpdate"},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
            "containers": [{"name": "a", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}],
                            "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "j"}],
            "tolerations": [{"key": "a", "operator": "Exists"}],
        }},
    },
}  # fmt: skip


@lru_cache
def _type(kind: str, version: str) -> Type:
    found = schema.builtin().kind(version, kind)
    assert found is not None
    return found


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _decoded(data: bytes, media: str) -> None:
    try:
        obj = codec.decode(data, media)
        codec.duplicates(data, media, obj)
        decoding.check(_type("Pod", "v1"), obj)
    except APIError:
        return
    # What was taken must be clean now, and come out as it went in.
    assert decoding.check(_type("Pod", "v1"), orjson.loads(orjson.dumps(obj))) == []


def json_body(data: bytes) -> None:
    """A JSON body, as a Pod."""
    _decoded(data, codec.JSON)


def yaml_body(data: bytes) -> None:
    """A YAML body, as a Pod."""
    _decoded(data, codec.YAML)


def protobuf_body(data: bytes) -> None:
    """A protobuf body, with and without the magic that such bodies start with; written again it says the same."""
    for body in (data, b"k8s\x00" + data):
        _decoded(body, protobuf.MEDIA_TYPE)
        try:
            obj = protobuf.decode(body)
        except APIError:
            continue
        written = protobuf_encode.encode(obj)
        assert protobuf_encode.encode(protobuf.decode(written)) == written


def label_selector(data: bytes) -> None:
    """A label selector; printed and read again it is the same."""
    try:
        found = selectors.parse(_text(data))
    except APIError:
        return
    assert found.matches({"a": "b", "c": ""}) == selectors.parse(str(found)).matches({"a": "b", "c": ""})


def field_selector(data: bytes) -> None:
    """A field selector; printed and read again it is the same."""
    try:
        found = selectors.parse_fields(_text(data))
    except APIError:
        return
    assert selectors.parse_fields(str(found)) == found


def quantities(data: bytes) -> None:
    """A quantity; its canonical form is one, and of the same value."""
    try:
        canonical = quantity.canonical(_text(data))
    except ValueError:
        return
    assert quantity.canonical(canonical) == canonical
    assert quantity.compare(canonical, _text(data)) == 0


def continue_token(data: bytes) -> None:
    """A list's continue token."""
    request = Request("GET", "/api/v1/pods", f"continue={_text(data)}&limit=5".replace("#", ""))
    try:
        asked = paging.options(request)
    except APIError:
        return
    assert ".." not in asked.start.split("/")


def cel_expression(data: bytes) -> None:
    """An expression over an object."""
    try:
        program = compiled(_text(data), {"object": "dyn"})
        program.evaluate({"object": _LIVE})
    except ExpressionError:
        return


def patches(data: bytes) -> None:
    """A patch of each of the three types; merging twice is merging once."""
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    if codec.too_deep(data, content):
        return
    typ = _type("Deployment", "apps/v1")
    before = json.dumps(_LIVE)
    for change in (
        lambda obj: patch.json_patch(obj, content),
        lambda obj: patch.merge_patch(obj, content),
        lambda obj: strategic_merge_patch(obj, content, typ),
    ):
        try:
            changed = change(_LIVE)
            decoding.check(typ, changed)
        except APIError:
            continue
    assert json.dumps(_LIVE) == before, "a patch changed what it was given"
    if type(content) is dict:
        once = patch.merge_patch(_LIVE, content)
        assert patch.merge_patch(once, content) == once


def applied(data: bytes) -> None:
    """A configuration for server-side apply; applied twice it changes nothing."""
    typ = _type("Deployment", "apps/v1")
    try:
        config = codec.decode(data, codec.YAML)
        decoding.check(typ, config)
        config["metadata"] = {**(config.get("metadata") or {}), "name": "web"}
        once = apply(_LIVE, config, "me", True, typ, "apps/v1", "", ("status",))
        twice = apply(once, config, "me", False, typ, "apps/v1", "", ("status",))
    except APIError:
        return
    assert {**once, "metadata": {**once["metadata"], "managedFields": 0}} == {
        **twice, "metadata": {**twice["metadata"], "managedFields": 0},
    }  # fmt: skip


class _Server:
    """A server that is asked to create what comes; it lives as long as the process."""

    def __init__(self) -> None:
        from tests.integration.apiserver.inprocess import ADMIN, serving

        self._runner = asyncio.Runner()
        self._serving = serving()
        self._api = self._runner.run(self._serving.__aenter__())
        self._headers = {"authorization": f"Bearer test {ADMIN}", "content-type": codec.JSON}
        self._kinds = [
            resource for resource in self._api.app.registry.scheme
            if resource.versions and "create" in resource.verbs and "list" in resource.verbs
        ]  # fmt: skip

    def create(self, number: int, body: bytes) -> None:
        """Ask for a new object of the kind of that number, as a dry run."""
        resource = self._kinds[number % len(self._kinds)]
        root = f"/apis/{resource.group}/{resource.versions[0]}" if resource.group else f"/api/{resource.versions[0]}"
        place = "/namespaces/default" if resource.namespaced else ""
        request = Request("POST", f"{root}{place}/{resource.plural}", "dryRun=All", dict(self._headers), body)
        response = self._runner.run(asyncio.wait_for(self._api.app.handle(request), 10))
        assert response.status < 500 or response.status == 504, response.body


@lru_cache
def _server() -> _Server:
    return _Server()


def creation(data: bytes) -> None:
    """A body for any kind, through the whole server: the first byte says which kind."""
    if data:
        _server().create(data[0], data[1:])


def _seed(value: Any) -> bytes:
    return json.dumps(value).encode()


_POD = _seed(builders.pod("p"))
TARGETS: dict[str, tuple[Target, tuple[bytes, ...]]] = {
    "JSON bodies": (json_body, (_POD, b'{"a":[1,2.5e3,null,true,"\\u00e9"]}')),
    "YAML bodies": (yaml_body, (
        _POD, b"kind: Pod\nmetadata: {name: x}\nspec:\n- &a 1\n- *a\n", b"? b\n: ~\n", b"&a\nk:\n- *a\nk:",
    )),
    "protobuf bodies": (protobuf_body, (
        b"\n\x0b\n\x02v1\x12\x05Event\x12\x00\x1a\x00\x22\x00", b"\t\x10\xff\xff\xff\xff\xff\xf9\x01",
    )),
    "label selectors": (label_selector, (b"a=b,c!=d", b"a in (b,c),!d", b"a notin (),b>1")),
    "field selectors": (field_selector, (b"metadata.name=a\\,b", b"spec.x!=y,a==b")),
    "quantities": (quantities, (b"1.5Gi", b"100m", b"-1e3", b".5", b"9223372036854775808")),
    "continue tokens": (continue_token, (b"eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0",)),
    "CEL": (cel_expression, (b"object.spec.replicas < 5", b"object.x.all(i, i.y == 'z')", b"quantity('1Gi').sign()",
                             b"[1,2].map(x, x * 2).sum() > ip('::1').family()")),
    "patches": (patches, (
        b'[{"op":"add","path":"/spec/template/spec/containers/-","value":{}}]',
        b'{"spec":{"template":{"spec":{"containers":[{"$patch":"delete","name":"a"}]}}}}',
        b'{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}',
        b'{"metadata":{"$deleteFromPrimitiveList/finalizers":["x"],"$setElementOrder/finalizers":["y"]}}',
    )),
    "applied configurations": (applied, (_seed(_LIVE), b"kind: Deployment\nspec: {replicas: 2}\n")),
    "creations": (creation, (b"\x0a" + _POD, b"\x01" + _seed(_LIVE))),
}  # fmt: skip
"""name -> (target, seeds)"""
