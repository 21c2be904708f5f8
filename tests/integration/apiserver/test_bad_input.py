"""Bad input of every kind: upstream's code and reason, never a 500, never a half-written object."""

import json

import pytest

from kybern.testing.cluster import InProcessCluster

MAPS = "/api/v1/namespaces/default/configmaps"
JSON = "application/json"


@pytest.fixture(scope="module")
async def server():
    async with InProcessCluster(nodes=0, scheduler=False) as made:
        await made.create({**config_map(), "metadata": {"name": "there", "namespace": "default"}})
        yield made


async def ask(server, method, target, body=b"", kind=JSON):
    token = server._tokens["admin"]
    headers = {"authorization": f"Bearer {token}", "content-type": kind}
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    transport = server.client.transport
    answer = await transport.send(method, target, headers, body)
    return answer.status, json.loads(answer.body)


def config_map(**fields):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, **fields}


NESTED = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"},"x":%s}'
CASES = {
    "truncated": ("POST", MAPS, b'{"kind":', JSON, 400, "BadRequest"),
    "empty": ("POST", MAPS, b"", JSON, 400, "BadRequest"),
    "a list": ("POST", MAPS, b"[]", JSON, 400, "BadRequest"),
    "not text": ("POST", MAPS, b"\xff\xfe\x00", JSON, 400, "BadRequest"),
    "bad YAML": ("POST", MAPS, b"a: [", "application/yaml", 400, "BadRequest"),
    "unknown media type": ("POST", MAPS, config_map(), "text/plain", 415, "UnsupportedMediaType"),
    "wrong type": ("POST", MAPS, config_map(data={"a": 1}), JSON, 400, "BadRequest"),
    "wrong type of metadata": ("POST", MAPS, {**config_map(), "metadata": "x"}, JSON, 400, "BadRequest"),
    "labels that are numbers": (
        "POST", MAPS, {**config_map(), "metadata": {"name": "new", "labels": {"a": 1}}}, JSON, 400, "BadRequest",
    ),
    "another kind": ("POST", MAPS, {**config_map(), "kind": "Secret"}, JSON, 400, "BadRequest"),
    "another version": ("POST", MAPS, {**config_map(), "apiVersion": "v9"}, JSON, 400, "BadRequest"),
    "unknown field, strict": ("POST", f"{MAPS}?fieldValidation=Strict", config_map(foo=1), JSON, 400, "BadRequest"),
    "unknown validation": ("POST", f"{MAPS}?fieldValidation=Maybe", config_map(), JSON, 422, "Invalid"),
    "bad name": ("POST", MAPS, {**config_map(), "metadata": {"name": "A_b"}}, JSON, 422, "Invalid"),
    "no name": ("POST", MAPS, {**config_map(), "metadata": {}}, JSON, 422, "Invalid"),
    "too long a name": ("POST", MAPS, {**config_map(), "metadata": {"name": "a" * 254}}, JSON, 422, "Invalid"),
    "another namespace": (
        "POST", MAPS, {**config_map(), "metadata": {"name": "new", "namespace": "kube-system"}}, JSON, 400,
        "BadRequest",
    ),
    "no such namespace": ("POST", MAPS.replace("default", "none"), config_map(), JSON, 404, "NotFound"),
    "exists": ("POST", MAPS, {**config_map(), "metadata": {"name": "there"}}, JSON, 409, "AlreadyExists"),
    "more than a map holds": ("POST", MAPS, config_map(data={"a": "x" * ((1 << 20) + 1)}), JSON, 422, "Invalid"),
    "deep lists": ("POST", MAPS, NESTED % (b"[" * 100_000 + b"]" * 100_000), JSON, 400, "BadRequest"),
    "deep objects": ("POST", MAPS, NESTED % (b'{"a":' * 1000 + b"1" + b"}" * 1000), JSON, 400, "BadRequest"),
    "deep YAML": ("POST", MAPS, b"{a: " * 3000 + b"1" + b"}" * 3000, "application/yaml", 400, "BadRequest"),
    "unknown resource": ("POST", MAPS.replace("configmaps", "foos"), {}, JSON, 404, "NotFound"),
    "unknown group": ("GET", "/apis/none.example/v1/things", b"", JSON, 404, "NotFound"),
    "unknown verb": ("POST", f"{MAPS}/there", config_map(), JSON, 405, "MethodNotAllowed"),
    "name differs from the URL": ("PUT", f"{MAPS}/there", config_map(), JSON, 400, "BadRequest"),
    "stale": (
        "PUT", f"{MAPS}/there", {**config_map(), "metadata": {"name": "there", "resourceVersion": "1"}}, JSON, 409,
        "Conflict",
    ),
    "resourceVersion at create": (
        "POST", MAPS, {**config_map(), "metadata": {"name": "new", "resourceVersion": "1"}}, JSON, 400, "BadRequest",
    ),
    "patch of no known type": ("PATCH", f"{MAPS}/there", {}, JSON, 415, "UnsupportedMediaType"),
    "patch that isn't one": ("PATCH", f"{MAPS}/there", b"1", "application/merge-patch+json", 400, "BadRequest"),
    "patch to a wrong type": (
        "PATCH", f"{MAPS}/there", {"data": {"a": 1}}, "application/merge-patch+json", 422, "Invalid",
    ),
    "patch of a missing path": (
        "PATCH", f"{MAPS}/there", [{"op": "remove", "path": "/data/none"}], "application/json-patch+json", 422,
        "Invalid",
    ),
    "apply without a manager": ("PATCH", f"{MAPS}/there", config_map(), "application/apply-patch+yaml", 422, "Invalid"),
    "bad label selector": ("GET", f"{MAPS}?labelSelector=a%3D%3D%3Db", b"", JSON, 400, "BadRequest"),
    "bad field selector": ("GET", f"{MAPS}?fieldSelector=none%3Db", b"", JSON, 400, "BadRequest"),
    "bad limit": ("GET", f"{MAPS}?limit=abc", b"", JSON, 400, "BadRequest"),
    "bad continue": ("GET", f"{MAPS}?continue=abc", b"", JSON, 400, "BadRequest"),
    "future version": ("GET", f"{MAPS}?resourceVersion=99999999&timeoutSeconds=1", b"", JSON, 504, "Timeout"),
    "bad version": ("GET", f"{MAPS}?resourceVersion=abc", b"", JSON, 400, "BadRequest"),
    "bad delete options": ("DELETE", f"{MAPS}/there", {"propagationPolicy": "Maybe"}, JSON, 422, "Invalid"),
    "uid precondition": ("DELETE", f"{MAPS}/there", {"preconditions": {"uid": "other"}}, JSON, 409, "Conflict"),
    "protected namespace": ("DELETE", "/api/v1/namespaces/kube-system", b"", JSON, 403, "Forbidden"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.asyncio(loop_scope="module")
async def test_bad_input_gets_a_clear_error(server, case):
    method, target, body, kind, code, reason = CASES[case]
    status, answer = await ask(server, method, target, body, kind)
    assert (status, answer.get("reason")) == (code, reason), answer
    assert answer["kind"] == "Status" and answer["code"] == code and answer["message"]
    _, listing = await ask(server, "GET", MAPS)
    assert "new" not in [item["metadata"]["name"] for item in listing["items"]]
