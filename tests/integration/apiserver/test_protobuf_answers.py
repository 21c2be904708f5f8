"""Answers in protobuf: read by google.protobuf along messages written by hand, and by the server's own decoder."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
import yaml

from kybern.api import protobuf, protobuf_encode
from kybern.apiserver import messages
from kybern.apiserver.codec import codec_of
from kybern.apiserver.request import Response, Stream
from tests.integration.apiserver.descriptors import parsed, shown, unwrapped, without_zeroes
from tests.integration.apiserver.inprocess import MERGE, Api
from tests.integration.apiserver.test_protobuf_kinds import same

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROTOBUF = "application/vnd.kubernetes.protobuf"
ALL = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
PARTIAL = f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Frames:
    """A watch's client: (type, apiVersion, kind, message) of what it was told."""

    congested = False

    def __init__(self, stream: Response) -> None:
        assert isinstance(stream, Stream), stream.body
        self.data, self.finished = b"", False
        stream.start(self)
        self.stream = stream

    def write(self, frame: Any) -> None:
        self.data += frame.data

    def finish(self) -> None:
        self.finished = True

    def take(self) -> list[tuple[str, str, str, Any]]:
        found, data = [], self.data
        while data:
            size = int.from_bytes(data[:4])
            event, data = parsed("WatchEvent", data[4 : 4 + size]), data[4 + size :]
            found.append((event.type, *unwrapped(event.object.raw)))
        self.data = b""
        return found


async def whole(response: Response) -> bytes:
    body = response.body
    return body if isinstance(body, bytes) else b"".join([piece async for piece in body])


async def binary(api: Api, method: str, target: str, body: Any = None, code: int = 200, **more: Any) -> bytes:
    response = await api.respond(method, target, body, accept=more.pop("accept", PROTOBUF), **more)
    content = await whole(response)
    assert (response.status, dict(response.headers)["content-type"]) == (code, PROTOBUF), content
    return content


def pod(name: str) -> Any:
    env = [
        {"name": "A", "value": "ü" * 90},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": False}}},
    ]
    container = {
        "name": "c", "image": "i", "args": ["", "x"], "ports": [{"containerPort": 80}], "env": env,
        "resources": {"requests": {"memory": "1Gi", "cpu": "100m"}, "limits": {"memory": "2Gi"}},
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}}, "livenessProbe": {"exec": {"command": ["true"]}},
    }  # fmt: skip
    volumes = [{"name": "e", "emptyDir": {}}, {"name": "m", "configMap": {"name": "m", "optional": True}}]
    spec = {"containers": [container], "volumes": volumes, "automountServiceAccountToken": False}
    metadata = {"name": name, "labels": {"b": "2", "a": "", "c": "3"}, "annotations": {"note": "x" * 20000}}
    return {"metadata": metadata, "spec": {**spec, "terminationGracePeriodSeconds": 0, "nodeSelector": {"k": "v"}}}


async def namespaced(api: Api) -> str:
    """The path of a new namespace in which pods can be."""
    base = f"/api/v1/namespaces/{await api.ns()}"
    await api.ok("POST", f"{base}/serviceaccounts", {"metadata": {"name": "default"}})
    return base


async def test_stored_objects_are_what_their_json_says(api: Api) -> None:
    base = await namespaced(api)
    namespace = base.rpartition("/")[2]
    ports = [{"name": "a", "port": 80, "targetPort": "web"}, {"name": "b", "port": 81, "targetPort": 8081}]
    service = {"metadata": {"name": "s"}, "spec": {"ports": ports, "selector": {"a": "b"}}}
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": namespace},
             "reason": "R", "type": "Normal", "count": 3, "firstTimestamp": "2030-01-02T03:04:05Z",
             "source": {"component": "c"}}  # fmt: skip
    node = {
        "metadata": {"name": f"node-{namespace}"},
        "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {"capacity": {"cpu": "4", "memory": "8Gi"}, "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}},
    }
    for collection, obj in {
        f"{base}/pods": pod("p"), f"{base}/services": service, f"{base}/events": event, "/api/v1/nodes": node,
        f"{base}/configmaps": {"metadata": {"name": "m"}, "data": {"z": "", "a": "1"}, "binaryData": {"b": "AAEC"}},
    }.items():  # fmt: skip
        created = shown(unwrapped(await binary(api, "POST", collection, obj, 201))[2])
        path = f"{collection}/{obj['metadata']['name']}"
        said = await api.ok("GET", path)
        api_version, kind, message = unwrapped(await binary(api, "GET", path))
        assert (api_version, kind) == (said.pop("apiVersion"), said.pop("kind"))
        assert shown(message) == without_zeroes(said) == created
        # What can't be absent is there, be it empty; what can be isn't.
        assert message.metadata.HasField("generateName") and message.metadata.HasField("generation")
        assert not message.metadata.HasField("deletionTimestamp")


async def test_events_of_both_groups_share_a_cache_but_no_messages(api: Api) -> None:
    base = await namespaced(api)
    about = {"kind": "Pod", "name": "p", "namespace": base.rpartition("/")[2]}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "R", "type": "Normal", "message": "so"}
    await api.ok("POST", f"{base}/events", event)
    for path, field in ((f"{base}/events", "message"), (base.replace("api", "apis/events.k8s.io") + "/events", "note")):
        for target in (path, f"{path}/e"):
            found = protobuf.decode(await binary(api, "GET", target))
            assert [one[field] for one in found.get("items", [found])] == ["so"]
        frames = Frames(await api.respond("GET", f"{path}?watch=1", accept=PROTOBUF))
        assert protobuf.decode(frames.data[frames.data.index(b"k8s") :])[field] == "so"
        frames.stream.closed()


async def test_lists_in_one_piece_and_in_several(api: Api) -> None:
    names = [f"m{number:03}" for number in range(230)]
    path = await api.maps(" ".join(names), data={"k": "x" * 900})
    _, kind, listed = unwrapped(await binary(api, "GET", f"{path}?limit=2"))
    assert (kind, [item.metadata.name for item in listed.items]) == ("ConfigMapList", names[:2])
    assert listed.metadata.remainingItemCount == 228 and getattr(listed.metadata, "continue")
    response = await api.respond("GET", path, accept=PROTOBUF)
    content = await whole(response)
    assert dict(response.headers)["content-length"] == str(len(content))
    said = await api.ok("GET", path)
    assert [shown(item) for item in unwrapped(content)[2].items] == without_zeroes(said["items"])
    packed = await whole(await api.respond("GET", path, accept=PROTOBUF, accept_encoding="gzip"))
    assert gzip.decompress(packed) == content
    assert protobuf.decode(content)["items"][229]["metadata"] == said["items"][229]["metadata"]


async def test_what_writes_answer(api: Api) -> None:
    path = await api.maps("a")
    patched = await binary(api, "PATCH", f"{path}/a", {"data": {"k": "v"}}, kind=MERGE)
    assert unwrapped(patched)[2].data["k"] == "v"
    put = await binary(api, "PUT", f"{path}/a?dryRun=All", {"metadata": {"name": "a"}, "data": {"k": "w"}})
    assert unwrapped(put)[2].data["k"] == "w"
    _, kind, status = unwrapped(await binary(api, "DELETE", f"{path}/a"))
    assert (kind, status.status, status.details.name, status.details.kind) == ("Status", "Success", "a", "configmaps")
    api_version, kind, status = unwrapped(await binary(api, "GET", f"{path}/a", code=404))
    assert (api_version, kind, status.reason, status.code) == ("v1", "Status", "NotFound", 404)
    await api.ok("POST", path, {"metadata": {"name": "b"}})
    assert [item.metadata.name for item in unwrapped(await binary(api, "DELETE", path))[2].items] == ["b"]


async def test_what_is_not_stored(api: Api) -> None:
    base = await namespaced(api)
    inner = {"containers": [{"name": "c", "image": "i"}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": inner}
    spec = {"replicas": 2, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    apps = base.replace("/api/v1", "/apis/apps/v1") + "/replicasets"
    await api.ok("POST", apps, {"metadata": {"name": "r"}, "spec": spec})
    for target, body, code, kind in (
        (f"{apps}/r/scale", None, 200, "Scale"),
        (f"{base}/serviceaccounts/default/token", {"spec": {}}, 201, "TokenRequest"),
        ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
         {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}, 201, "SelfSubjectAccessReview"),
        ("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, 201, "SelfSubjectReview"),
        ("/api/v1/componentstatuses", None, 200, "ComponentStatusList"),
        ("/apis", None, 200, "APIGroupList"),
        ("/apis/apps", None, 200, "APIGroup"),
        ("/apis/apps/v1", None, 200, "APIResourceList"),
    ):  # fmt: skip
        found = protobuf.decode(await binary(api, "POST" if code == 201 else "GET", target, body, code))
        assert found["kind"] == kind
    await api.ok("POST", f"{base}/pods", {"metadata": {"name": "p"}, "spec": inner})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    status = unwrapped(await binary(api, "POST", f"{base}/pods/p/eviction", eviction, 201))[2]
    assert (status.status, status.code) == ("Success", 201)


async def test_discovery_of_all_groups(api: Api) -> None:
    """The version of what discovery lists isn't said of the core group, as upstream has it."""
    for path in ("/api", "/apis"):
        accept = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        as_json = await api.respond("GET", path, accept=f"application/json{accept}")
        response = await api.respond("GET", path, accept=f"{PROTOBUF}{accept},application/json")
        headers = dict(response.headers)
        assert headers["content-type"] == f"{PROTOBUF}{accept}" and headers["etag"] == dict(as_json.headers)["etag"]
        assert same(orjson.loads(await whole(as_json)), protobuf.decode(await whole(response)))
    body = await binary(api, "GET", "/api/v1")
    assert body.startswith(protobuf_encode.head("", "APIResourceList"))
    assert yaml.safe_load(await whole(await api.respond("GET", "/api", accept="application/yaml")))["versions"] == [
        "v1"
    ]


async def test_watches_tell_the_same_as_json(api: Api) -> None:
    path = await api.maps("a b")
    target = f"{path}?watch=1&labelSelector=l&allowWatchBookmarks=1"
    response = await api.respond("GET", target, accept=f"{PROTOBUF},application/json")
    assert dict(response.headers)["content-type"] == f"{PROTOBUF};stream=watch"
    frames = Frames(response)
    async with api.watch(f"{path}?labelSelector=l&allowWatchBookmarks=1") as watched:
        await api.ok("PATCH", f"{path}/a", {"data": {"k": "v"}}, kind=MERGE)
        await api.ok("PATCH", f"{path}/b", {"metadata": {"labels": {"l": None}}}, kind=MERGE)
        await api.ok("DELETE", f"{path}/a")
        told = [(event["type"], without_zeroes(event["object"])) for event in watched.take()]
    taken = frames.take()
    assert [
        (type_, {"kind": kind, "apiVersion": version, **shown(message)}) for type_, version, kind, message in taken
    ] == told
    assert [type_ for type_, _ in told] == ["ADDED", "ADDED", "BOOKMARK", "MODIFIED", "DELETED", "DELETED"]
    frames.stream.closed()
    gone = Frames(await api.respond("GET", f"{path}?watch=1&resourceVersion=1", accept=PROTOBUF))
    ((type_, version, kind, status),) = gone.take()
    assert (type_, version, kind, status.code, gone.finished) == ("ERROR", "v1", "Status", 410, True)


async def test_metadata_alone_also_of_custom_resources(api: Api) -> None:
    names = {"plural": "bins", "kind": "Bin", "listKind": "BinList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    crd = {"metadata": {"name": "bins.example.com"}, "spec": {"group": "example.com", "names": names,
           "scope": "Cluster", "versions": [version]}}  # fmt: skip
    await api.ok("POST", CRDS, crd)
    bins = "/apis/example.com/v1/bins"
    await api.until(bins)
    await api.ok("POST", bins, {"apiVersion": "example.com/v1", "kind": "Bin", "metadata": {"name": "x"}, "any": [1]})
    said = await api.ok("GET", f"{bins}/x")
    for accept in (PARTIAL, f"{PROTOBUF},{PARTIAL}"):
        version_, kind, message = unwrapped(await binary(api, "GET", f"{bins}/x", accept=accept))
        assert (version_, kind) == ("meta.k8s.io/v1", "PartialObjectMetadata")
        assert shown(message)["metadata"] == without_zeroes(said["metadata"])
    listed = unwrapped(await binary(api, "GET", bins, accept=PARTIAL.replace("Metadata;", "MetadataList;")))[2]
    assert [item.metadata.name for item in listed.items] == ["x"]
    frames = Frames(await api.respond("GET", f"{bins}?watch=1", accept=PARTIAL))
    assert [(type_, kind, one.metadata.name) for type_, _, kind, one in frames.take()] == [
        ("ADDED", "PartialObjectMetadata", "x")
    ]
    frames.stream.closed()
    # The object itself has none: another type it is, or a refusal, which is read as any other.
    assert (await api.ok("GET", f"{bins}/x", accept=f"{PROTOBUF},application/json"))["any"] == [1]
    for target in (bins, f"{bins}/x", f"{bins}?watch=1"):
        status = unwrapped(await binary(api, "GET", target, code=406))[2]
        assert (status.reason, status.message) == (
            "NotAcceptable", f"only the following media types are accepted: {ALL}",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "target", "expected"),
    [
        ("text/csv", "", ALL),
        ("text/csv", "?watch=1", ALL),
        (f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1", "", ALL),
        ("application/yaml", "?watch=1", f"application/json;stream=watch, {PROTOBUF};stream=watch"),
        ("text/csv", "/a", ALL),
    ],
)
async def test_what_would_be_accepted(api: Api, accept: str, target: str, expected: str) -> None:
    path = await api.maps("a")
    response = await api.respond("GET", f"{path}{target}", accept=accept)
    content = await whole(response)
    status = unwrapped(content)[2] if content.startswith(b"k8s") else yaml.safe_load(content)
    said = status["message"] if isinstance(status, dict) else status.message
    assert (response.status, said) == (406, f"only the following media types are accepted: {expected}")


async def test_what_would_be_taken(api: Api) -> None:
    path = await api.maps("a")
    said = await api.why(415, "POST", path, {"metadata": {"name": "b"}}, kind="text/csv")
    assert said == f"the body of the request was in an unknown format - accepted media types include: {ALL}"


async def test_each_object_is_encoded_once_while_somebody_wants_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await api.maps("a b")
    resource = api.app.registry.scheme.resource("", "configmaps")
    assert resource is not None
    cache, codec = api.app.registry.cache(resource), codec_of(resource)
    while codec in cache.messages:
        cache.messages[codec]._sweep()
    await api.ok("GET", path)
    assert not cache.messages  # JSON needs none
    encoded: list[str] = []
    kept = messages.messages_of(cache, codec)
    encode = kept._encode
    monkeypatch.setattr(kept, "_encode", lambda obj: encoded.append(obj["metadata"]["name"]) or encode(obj))
    frames = [Frames(await api.respond("GET", f"{path}?watch=1", accept=PROTOBUF)) for _ in range(3)]
    for target in (path, f"{path}/a", path):
        await binary(api, "GET", target)
    assert encoded == ["a", "b"]
    await binary(api, "PATCH", f"{path}/a", {"data": {"k": "v"}}, kind=MERGE)
    await binary(api, "GET", path)
    assert encoded == ["a", "b", "a"]
    await api.ok("DELETE", f"{path}/b")
    assert [item.key.rpartition("/")[2] for item in kept._asked] == ["a"]
    assert encoded == ["a", "b", "a", "b"]  # once more for all who are told of the deletion, which has a revision
    kept._sweep()
    await binary(api, "GET", path)
    kept._sweep()
    assert codec in cache.messages and len(encoded) == 4
    kept._sweep()  # nobody asked in between
    assert codec not in cache.messages and kept not in cache.listeners
    await api.ok("PATCH", f"{path}/a", {"data": {"k": "w"}}, kind=MERGE)
    assert [[type_ for type_, *_ in one.take()] for one in frames] == [
        ["ADDED"] * 2 + ["MODIFIED", "DELETED", "MODIFIED"]
    ] * 3
    for one in frames:
        one.stream.closed()


async def test_what_has_no_number_is_told_otherwise_or_not_at_all(api: Api) -> None:
    """Were a field stored that no table has, nothing is lost in silence."""
    path = await api.maps("a")
    resource = api.app.registry.scheme.resource("", "configmaps")
    assert resource is not None
    frames = Frames(await api.respond("GET", f"{path}?watch=1", accept=PROTOBUF))
    assert [event[0] for event in frames.take()] == ["ADDED"]
    cache = api.app.registry.cache(resource)
    (item,) = cache.select(path.split("/")[4])
    await api.store.update(item.key, b'%b,"new":1}' % item.value[:-1], expect=item.revision)
    ((type_, _, _, status),) = frames.take()
    assert (type_, status.code) == ("ERROR", 406) and "ConfigMap has no new" in status.message
    frames.stream.closed()
    for target in (path, f"{path}/a"):
        assert (await api.ok("GET", target, accept=f"{PROTOBUF},application/json"))["kind"]
        assert unwrapped(await binary(api, "GET", target, code=406))[1] == "Status"
