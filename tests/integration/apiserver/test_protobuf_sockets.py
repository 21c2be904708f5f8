"""Protobuf over real connections, to a server in a process of its own: bodies, lists in chunks and gzip, watches."""

from __future__ import annotations

import gzip
import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.apiserver.conftest import TOKEN, Kubectl
from tests.integration.apiserver.descriptors import parsed, unwrapped

PROTOBUF = "application/vnd.kubernetes.protobuf"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": f"{PROTOBUF},application/json"}


@pytest.fixture
def connection(kubectl: Kubectl) -> Iterator[http.client.HTTPSConnection]:
    address = urlsplit(kubectl.server)
    assert address.hostname
    trusting = ssl._create_unverified_context()
    made = http.client.HTTPSConnection(address.hostname, address.port, context=trusting, timeout=30)
    with closing(made):
        yield made


def ask(connection: http.client.HTTPSConnection, method: str, path: str, body: bytes | None = None, **more: str) -> Any:
    connection.request(method, path, body, {**HEADERS, **more})
    answer = connection.getresponse()
    content = answer.read()
    assert answer.headers["content-type"] == PROTOBUF, content
    return unwrapped(gzip.decompress(content) if answer.headers["content-encoding"] == "gzip" else content)


def test_what_is_sent_in_protobuf_is_answered_in_protobuf(
    kubectl: Kubectl, connection: http.client.HTTPSConnection
) -> None:
    path = f"/api/v1/namespaces/{kubectl.namespace}/configmaps"
    sent = parsed("ConfigMap", b"")
    sent.metadata.name, sent.data["k"] = "m", "ü"
    body = parsed("Unknown", b"")
    body.typeMeta.apiVersion, body.typeMeta.kind, body.raw = "v1", "ConfigMap", sent.SerializeToString()
    data = b"k8s\0" + body.SerializeToString()
    _, kind, made = ask(connection, "POST", path, data, **{"Content-Type": PROTOBUF})
    assert (kind, made.data["k"]) == ("ConfigMap", "ü") and made.metadata.uid
    assert kubectl.get("configmap", "m")["metadata"]["uid"] == made.metadata.uid
    assert ask(connection, "GET", f"{path}/m")[2] == made
    assert ask(connection, "POST", path, data, **{"Content-Type": PROTOBUF})[2].reason == "AlreadyExists"
    large = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "x" * 3000}}
    many = [{**large, "metadata": {"name": f"n{number:03}"}} for number in range(150)]
    kubectl.run("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": many}))
    plain = ask(connection, "GET", path)[2]
    assert [len(item.data["k"]) for item in plain.items if item.metadata.name.startswith("n")] == [3000] * 150
    assert ask(connection, "GET", path, **{"Accept-Encoding": "gzip"})[2] == plain


def test_watches_come_in_frames(kubectl: Kubectl, connection: http.client.HTTPSConnection) -> None:
    kubectl.run("create", "configmap", "m", "--from-literal=k=v")
    path = f"/api/v1/namespaces/{kubectl.namespace}/configmaps"
    connection.request("GET", f"{path}?watch=1&timeoutSeconds=120", headers=HEADERS)
    answer = connection.getresponse()
    assert answer.headers["content-type"] == f"{PROTOBUF};stream=watch"

    def event() -> tuple[str, Any]:
        told = parsed("WatchEvent", answer.read(int.from_bytes(answer.read(4))))
        return told.type, unwrapped(told.object.raw)[2]

    assert event()[1].metadata.name == "m"
    kubectl.run("patch", "configmap", "m", "-p", '{"data":{"k":"w"}}')
    type_, told = event()
    assert (type_, told.data["k"]) == ("MODIFIED", "w")
    kubectl.run("delete", "configmap", "m")
    assert event()[0] == "DELETED"
