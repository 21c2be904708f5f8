import asyncio
import ssl

import orjson
import pytest
from aiohttp import web

from kybern.api.errors import Conflict, NotFound, TooManyRequests
from kybern.client.kubeconfig import ClientConfig, connect, load
from kybern.client.rest import Client, lines
from kybern.client.transport import Answer, InProcessTransport, Unreachable
from kybern.process.daemon import OperatorError
from tests.unit.client.fakes import FakeAPI, event


class Scripted:
    """A transport that answers from a list; an exception in it is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    async def send(self, method, target, headers, body):
        self.sent.append((method, target, dict(headers), body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(obj):
    return Answer(200, {}, orjson.dumps(obj))


async def test_verbs_make_upstreams_requests():
    transport = Scripted(*[ok({"metadata": {"name": "x"}})] * 7)
    pods = Client(transport, user_agent="test/1").resource("v1", "pods")
    leases = Client(transport).resource("coordination.k8s.io/v1", "leases")
    roles = Client(transport).resource("rbac.authorization.k8s.io/v1", "clusterroles", namespaced=False)
    await pods.create({"metadata": {"name": "x", "namespace": "ns"}}, dry_run=True)
    await pods.update_status({"metadata": {"name": "x", "namespace": "ns"}})
    await pods.patch("x", {"a": 1}, "ns", type="apply", field_manager="me", force=True)
    await pods.post("x", "binding", {"target": {}}, "ns")
    await leases.delete("l", "ns", grace_period_seconds=0, propagation_policy="Orphan", uid="u")
    await roles.get("system:node")
    await pods.delete_collection("ns", label_selector="a in (b,c)")
    assert [(method, target) for method, target, _, _ in transport.sent] == [
        ("POST", "/api/v1/namespaces/ns/pods?dryRun=All"),
        ("PUT", "/api/v1/namespaces/ns/pods/x/status"),
        ("PATCH", "/api/v1/namespaces/ns/pods/x?fieldManager=me&force=true"),
        ("POST", "/api/v1/namespaces/ns/pods/x/binding"),
        ("DELETE", "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l"),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node"),
        ("DELETE", "/api/v1/namespaces/ns/pods?labelSelector=a+in+%28b%2Cc%29"),
    ]
    assert transport.sent[0][2]["User-Agent"] == "test/1"
    assert transport.sent[2][2]["Content-Type"] == "application/apply-patch+yaml"
    assert orjson.loads(transport.sent[4][3]) == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Orphan",
        "preconditions": {"uid": "u"},
    }


async def test_statuses_become_the_errors_they_were():
    api = FakeAPI()
    things = Client(InProcessTransport(api)).resource("v1", "things", namespaced=False)
    with pytest.raises(NotFound, match='things "no" not found'):
        await things.get("no")
    api.put("a")
    with pytest.raises(Conflict):
        await things.update({"metadata": {"name": "a", "resourceVersion": "0"}})


async def test_an_answer_that_is_no_status_keeps_its_code_and_text():
    client = Client(Scripted(Answer(404, {}, b"404 page not found\n")))
    with pytest.raises(NotFound, match="404 page not found"):
        await client.request("GET", "/nope")


async def test_lists_follow_continue():
    first = {"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": "c"}, "items": [{"metadata": {}}]}
    last = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "9"}, "items": [{"metadata": {}}]}
    transport = Scripted(ok(first), ok(last))
    listing = await Client(transport).resource("v1", "pods").list(limit=1, resource_version="0")
    assert len(listing.items) == 2
    assert listing.resource_version == "9"
    assert listing.items[1]["kind"] == "Pod"
    assert [target for _, target, _, _ in transport.sent] == [
        "/api/v1/pods?resourceVersion=0&limit=1",
        "/api/v1/pods?limit=1&continue=c",
    ]


async def test_reads_are_retried_when_no_answer_came_and_writes_are_not():
    transport = Scripted(Unreachable("reset"), ok({}))
    await Client(transport).request("GET", "/x")
    assert len(transport.sent) == 2
    with pytest.raises(Unreachable):
        await Client(Scripted(Unreachable("reset"), ok({}))).request("POST", "/x", body={})


async def test_waits_as_a_busy_server_asks():
    transport = Scripted(Answer(429, {"retry-after": "0"}, b""), ok({"fine": True}))
    assert await Client(transport).request("POST", "/x", body={}) == {"fine": True}
    with pytest.raises(TooManyRequests):
        await Client(Scripted(Answer(429, {}, b""))).request("POST", "/x", body={})


async def test_watch_gives_events_and_ends_when_left():
    api = FakeAPI()
    api.scripts = [[event("ADDED", "a", 5), "hang"]]
    things = Client(InProcessTransport(api)).resource("v1", "things", namespaced=False)
    watch = things.watch(resource_version="1")
    got = await anext(watch)
    assert (got.type, got.object["metadata"]["name"]) == ("ADDED", "a")
    await watch.aclose()
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    "chunks", [[b'{"a":1}\n{"b":2}\n'], [b'{"a"', b":1}", b'\n{"b":2}\n'], [b"\n\n", b'{"a":1}\n{"b"', b":2}\n"]]
)
async def test_lines_however_they_are_cut(chunks):
    async def source():
        for chunk in chunks:
            yield chunk

    assert [line async for line in lines(source())] == [b'{"a":1}', b'{"b":2}']


@pytest.fixture
async def server():
    async def answer(request):
        if request.path == "/break":
            request.transport.close()
        return web.json_response({"path": request.raw_path, "auth": request.headers.get("Authorization", "")})

    runner = web.AppRunner(_catch_all(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    await runner.cleanup()


def _catch_all(handler):
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    return app


async def test_over_http(server, tmp_path):
    token = tmp_path / "token"
    token.write_text("t1\n")
    client = connect(ClientConfig(server, token_file=str(token)))
    answer = await client.request("GET", "/a%2Fb", query={"x": "y z"})
    assert answer == {"path": "/a%2Fb?x=y+z", "auth": "Bearer t1"}
    chunks = [chunk async for chunk in client.stream("/logs")]
    assert b"/logs" in b"".join(chunks)
    with pytest.raises(Unreachable):
        await client.request("POST", "/break", body={})
    await client.close()


async def test_refused_connections_are_unreachable():
    client = connect(ClientConfig("http://127.0.0.1:1"))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        await client.request("POST", "/", body={})
    await client.close()


def test_kubeconfig(tmp_path):
    file = tmp_path / "config"
    (tmp_path / "key.pem").write_text("KEY")
    file.write_text(
        """
current-context: c
clusters: [{name: k, cluster: {server: "https://h:6443", certificate-authority-data: UEVN}}]
users: [{name: u, user: {client-key: key.pem, token: t}}]
contexts: [{name: c, context: {cluster: k, user: u, namespace: ns}}]
"""
    )
    config = load(file)
    assert (config.server, config.ca_data, config.key_data) == ("https://h:6443", b"PEM", b"KEY")
    assert (config.token, config.namespace) == ("t", "ns")


@pytest.mark.parametrize("text", ["[]", "a: [", "current-context: c", "{}"])
def test_kubeconfig_that_cannot_be_used_is_an_operator_error(tmp_path, text):
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(OperatorError):
        load(file)


def test_missing_kubeconfig_and_bad_certificates_are_operator_errors(tmp_path):
    with pytest.raises(OperatorError, match="no kubeconfig"):
        load(tmp_path / "none")
    with pytest.raises(OperatorError, match="certificates"):
        connect(ClientConfig("https://h", ca_data=b"rubbish"))
    assert ssl.create_default_context().check_hostname
