"""What the API server answers on the connect subresources, refusals above all."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from kybern.streaming import client, exit_status, http1, port_forward, remote_command
from kybern.streaming.remote_command import Options
from tests.integration.streaming.conftest import Cluster

PODS = "/api/v1/namespaces/default/pods"


async def ask(cluster: Cluster, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    given = [(name.replace("_", "-"), value) for name, value in headers.items()]
    answer = await http1.send(cluster.url + path, method=method, headers=given)
    return answer.status, dict(answer.headers), await http1.whole_body(answer)


async def refused(cluster: Cluster, path: str, **headers: str) -> tuple[int, str]:
    status, _, body = await ask(cluster, path, **headers)
    document = orjson.loads(body)
    assert document["kind"] == "Status"
    return status, document["message"]


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("none/log", 404, 'pods "none" not found'),
        ("two/log", 400, "a container name must be specified for pod two, choose one of: [a b] or one of the init "
         "containers: [setup]"),
        ("two/log?container=x", 400, "container x is not valid for pod two"),
        ("lost/log", 404, 'nodes "gone" not found'),
        ("waiting/exec?command=x&stdout=1", 400, "pod waiting does not have a host assigned"),
        ("p/exec?command=x&stdout=1", 400, "Upgrade request required"),
        ("p/log?tailLines=-1", 422, 'PodLogOptions "p" is invalid: tailLines: Invalid value: -1: must be greater than '
         "or equal to 0"),
        ("p/log?limitBytes=0", 422, 'PodLogOptions "p" is invalid: limitBytes: Invalid value: 0: must be greater than '
         "0"),
        ("p/log?previous=true", 400, 'previous terminated container "c" in pod "p" not found'),
    ],
)  # fmt: skip
async def test_refusals(cluster: Cluster, path: str, status: int, message: str) -> None:
    assert await refused(cluster, f"{PODS}/{path}") == (status, message)


async def test_a_node_without_addresses_cannot_be_reached(cluster: Cluster) -> None:
    addresses = [{"type": "Unknown", "address": "x"}]
    await cluster.put("nodes", {"metadata": {"name": "gone", "uid": "g"}, "status": {"addresses": addresses}})
    status, message = await refused(cluster, f"{PODS}/lost/log")
    assert status == 500
    assert message.endswith("no preferred addresses found; known addresses: [Unknown:x]")


async def test_the_log_of_a_pod_without_a_node_is_empty(cluster: Cluster) -> None:
    status, headers, body = await ask(cluster, f"{PODS}/waiting/log")
    assert (status, headers["content-type"], body) == (200, "text/plain", b"")


async def test_unknown_subprotocols_are_refused(cluster: Cluster) -> None:
    with pytest.raises(client.UpgradeRefused) as caught:
        await client.upgrade(
            f"{cluster.url}{PODS}/p/exec?command=cat&stdout=1", protocols=["v9.k8s.io"], to=client.WEBSOCKET
        )
    assert caught.value.status == 403
    assert "requested protocol(s) are not supported: [v9.k8s.io]" in caught.value.text


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_exec_over_websocket(cluster: Cluster, protocol: str) -> None:
    url = f"{cluster.url}{PODS}/two/exec?container=b&command=fail&command=no&stdout=1&stderr=1"
    reader, writer, headers = await client.upgrade(url, protocols=[protocol], to=client.WEBSOCKET)
    assert headers["sec-websocket-protocol"] == protocol
    options = Options(stdout=True, stderr=True)
    async with remote_command.connect_websocket(reader, writer, options, protocol) as session:
        assert await session.stderr.read() == b"no"
        assert exit_status.exit_code(await session.status()) == 1
    assert cluster.kubelet.asked[-1].startswith("POST /exec/default/two/b?output=1&error=1&command=fail&command=no ")


async def test_terminal_sizes_reach_the_kubelet(cluster: Cluster) -> None:
    url = f"{cluster.url}{PODS}/p/exec?command=size&stdin=1&stdout=1&tty=1"
    protocol, options = "v5.channel.k8s.io", Options(stdin=True, stdout=True, tty=True)
    reader, writer, _ = await client.upgrade(url, protocols=[protocol], to=client.WEBSOCKET)
    async with remote_command.connect_websocket(reader, writer, options, protocol) as session:
        await session.send_size(120, 40)
        assert exit_status.exit_code(await session.status()) == 0
    assert cluster.kubelet.sizes == [(120, 40)]


async def test_an_unreachable_kubelet_is_told_on_the_error_stream(cluster: Cluster) -> None:
    await cluster.kubelet.stop()
    url = f"{cluster.url}{PODS}/p/exec?command=cat&stdout=1"
    protocol = "v5.channel.k8s.io"
    reader, writer, _ = await client.upgrade(url, protocols=[protocol], to=client.WEBSOCKET)
    async with remote_command.connect_websocket(reader, writer, Options(stdout=True), protocol) as session:
        status = await session.status()
    assert status["message"].startswith("Internal error occurred: error dialing backend: dial tcp")
    with pytest.raises(client.UpgradeRefused) as caught:
        await client.upgrade(url, protocols=["v4.channel.k8s.io"])
    assert caught.value.status == 500
    assert orjson.loads(caught.value.body)["message"].startswith("error dialing backend: dial tcp")


async def test_a_client_that_leaves_ends_the_command(cluster: Cluster) -> None:
    url = f"{cluster.url}{PODS}/p/exec?command=cat&stdin=1&stdout=1"
    protocol, options = "v5.channel.k8s.io", Options(stdin=True, stdout=True)
    before = len(asyncio.all_tasks())
    reader, writer, _ = await client.upgrade(url, protocols=[protocol], to=client.WEBSOCKET)
    async with remote_command.connect_websocket(reader, writer, options, protocol) as session:
        await session.stdin.write(b"x")
        assert await session.stdout.read() == b"x"
    async with asyncio.timeout(30):
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_port_forward_over_websocket_channels(cluster: Cluster, protocol: str) -> None:
    url = f"{cluster.url}{PODS}/p/portforward?port=80&port=81"
    reader, writer, _ = await client.upgrade(url, protocols=[protocol], to=client.WEBSOCKET)
    async with port_forward.connect_websocket(reader, writer, [80, 81], protocol) as (first, second):
        await first.data.write(b"hello")
        assert await first.data.read() == b"HELLO"
        assert await second.error.read() == b"connection refused"


async def test_proxies_pass_requests_on(cluster: Cluster) -> None:
    path = f"/api/v1/nodes/n1:{cluster.kubelet.port}/proxy"
    status, headers, body = await ask(cluster, f"{path}/a%20b?x=1", authorization="Bearer secret", x_mine="1")
    said = body.decode().split("\n")
    assert (status, headers["content-type"]) == (200, "text/x")
    assert said[0] == "GET /a%20b?x=1 HTTP/1.1"
    assert "x-mine: 1" in said
    assert f"x-forwarded-uri: {path}/a b" in said
    assert not [line for line in said if "secret" in line]
    status, headers, _ = await ask(cluster, f"{path}?x=1")
    assert (status, headers["location"]) == (301, f"{path}/?x=1")
    status, headers, _ = await ask(cluster, f"{path}/moved")
    assert (status, headers["location"]) == (302, f"{path}/there?x=1")


async def test_proxies_reach_pods_and_services(cluster: Cluster) -> None:
    port = cluster.kubelet.port
    status, _, body = await ask(cluster, f"{PODS}/https:p:{port}/proxy/x")
    assert (status, body.split(b"\n")[0]) == (200, b"GET /x HTTP/1.1")
    services = "/api/v1/namespaces/default/services"
    ports = [{"name": "web", "port": 80, "protocol": "TCP"}]
    metadata = {"name": "s", "namespace": "default", "uid": "s"}
    await cluster.put("services", {"metadata": metadata, "spec": {"ports": ports}})
    assert await refused(cluster, f"{services}/s/proxy/x") == (503, 'no endpoints available for service "s"')
    subset = {"addresses": [{"ip": "127.0.0.1"}], "ports": [{"name": "web", "port": port}]}
    await cluster.put("endpoints", {"metadata": metadata, "subsets": [subset]})
    for name in ("https:s:web", "https:s:80", "https:s:"):
        status, _, body = await ask(cluster, f"{services}/{name}/proxy/x")
        assert (status, body.split(b"\n")[0]) == (200, b"GET /x HTTP/1.1"), name
    said = await refused(cluster, f"{services}/s:other/proxy/x")
    assert said == (503, 'no service port "other" found for service "s"')


async def test_proxies_say_that_nobody_answers(cluster: Cluster) -> None:
    await cluster.kubelet.stop()
    status, message = await refused(cluster, f"{PODS}/p:{cluster.kubelet.port}/proxy/x")
    assert status == 503
    assert message.startswith("error trying to reach service: dial tcp")
