"""Two API servers over one etcd: what one acknowledges the other knows, and both tell it in the same order."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from kybern.cluster.pki import Authority, Identity
from kybern.store.etcd_client import Tls
from kybern.testing.etcd import EtcdServers, free_ports
from tests.integration.apiserver.conftest import TOKEN, Kubectl

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAPS = "/api/v1/namespaces/default/configmaps"


@dataclass
class Pair:
    """Both servers' URLs, and a session that may do everything."""

    urls: list[str]
    session: aiohttp.ClientSession
    etcd: EtcdServers
    directory: Path

    async def ask(self, server: int, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        async with self.session.request(method, self.urls[server] + path, json=body) as answer:
            return answer.status, json.loads(await answer.read())

    async def make(self, server: int, name: str, **data: str) -> dict[str, Any]:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        status, made = await self.ask(server, "POST", MAPS, body)
        assert status == 201, made
        return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    directory = tmp_path_factory.mktemp("two-apiservers")
    (directory / "tokens.csv").write_text(f"{TOKEN},tester,1,system:masters\n")
    authority = Authority(directory / "etcd-pki")
    tls = Tls(
        str(authority.certificate_path), *map(str, authority.issue("member", Identity("m", names=("127.0.0.1",))))
    )
    certificate, key = map(str, authority.issue("client", Identity("apiserver")))
    servers = EtcdServers(directory, tls=tls)
    ports, processes = free_ports(2), []
    try:
        await servers.start_all(Tls(str(authority.certificate_path), certificate, key))
        for number, port in enumerate(ports):
            command = [sys.executable, "-m", "kybern", "apiserver", f"--data-dir={directory}/data{number}"]
            command += ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={port}"]
            command += [f"--token-auth-file={directory}/tokens.csv", f"--etcd-servers={servers.location}"]
            command += [f"--etcd-cafile={authority.certificate_path}", f"--etcd-certfile={certificate}"]
            command += [f"--etcd-keyfile={key}", "--etcd-prefix=/kybern"]
            with open(directory / f"log{number}", "wb") as log:
                processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        connector = aiohttp.TCPConnector(ssl=ssl._create_unverified_context())
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            made = Pair([f"https://127.0.0.1:{port}" for port in ports], session, servers, directory)
            for number, process in enumerate(processes):
                await _ready(made, number, process)
            yield made
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)
        servers.stop()


async def _ready(pair: Pair, number: int, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(60):
        while True:
            assert process.poll() is None, (pair.directory / f"log{number}").read_text()
            try:
                async with pair.session.get(f"{pair.urls[number]}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def test_a_write_through_one_is_read_through_the_other_at_once(pair: Pair) -> None:
    for turn in range(40):
        writer, reader = turn % 2, 1 - turn % 2
        made = await pair.make(writer, f"seen-{turn}", turn="0")
        status, found = await pair.ask(reader, "GET", f"{MAPS}/seen-{turn}")
        assert (status, found) == (200, made)
        changed = {**made, "data": {"turn": "1"}}
        status, changed = await pair.ask(writer, "PUT", f"{MAPS}/seen-{turn}", changed)
        assert status == 200
        status, listed = await pair.ask(reader, "GET", MAPS)
        assert next(o["data"] for o in listed["items"] if o["metadata"]["name"] == f"seen-{turn}") == {"turn": "1"}
        assert int(listed["metadata"]["resourceVersion"]) >= int(changed["metadata"]["resourceVersion"])
        status, _ = await pair.ask(writer, "DELETE", f"{MAPS}/seen-{turn}")
        assert (await pair.ask(reader, "GET", f"{MAPS}/seen-{turn}"))[0] == 404


async def test_of_two_writers_through_different_servers_one_wins(pair: Pair) -> None:
    made = await pair.make(0, "contended", by="nobody")
    for turn in range(10):
        bodies = [{**made, "data": {"by": f"{server} in turn {turn}"}} for server in (0, 1)]
        answers = await asyncio.gather(
            *(pair.ask(server, "PUT", f"{MAPS}/contended", bodies[server]) for server in (0, 1))
        )
        assert sorted(status for status, _ in answers) == [200, 409]
        made = next(found for status, found in answers if status == 200)


async def test_watches_through_both_see_the_same_order(pair: Pair) -> None:
    _, listed = await pair.ask(0, "GET", MAPS)
    since = listed["metadata"]["resourceVersion"]

    async def watch(server: int, wanted: int) -> list[tuple[str, str, str]]:
        query = f"?watch=1&resourceVersion={since}&timeoutSeconds=60"
        seen = []
        async with pair.session.get(pair.urls[server] + MAPS + query) as answer:
            assert answer.status == 200
            async for line in answer.content:
                event = json.loads(line)
                meta = event["object"]["metadata"]
                seen.append((event["type"], meta["name"], meta["resourceVersion"]))
                if len(seen) == wanted:
                    return seen
        raise AssertionError(f"the watch ended after {len(seen)} events")

    async def write(server: int) -> None:
        for number in range(15):
            await pair.make(server, f"order-{server}-{number}")
            assert (await pair.ask(1 - server, "DELETE", f"{MAPS}/order-{server}-{number}"))[0] == 200

    watches = [asyncio.create_task(watch(server, 60)) for server in (0, 1)]
    await asyncio.gather(write(0), write(1))
    first, second = await asyncio.gather(*watches)
    assert first == second
    revisions = [int(revision) for _, _, revision in first]
    assert revisions == sorted(set(revisions))


async def test_kubectl_works_through_either(pair: Pair) -> None:
    def use() -> None:
        one, other = (Kubectl(url, pair.directory, "shared") for url in pair.urls)
        one.run("create", "namespace", "shared")
        made = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "shared"},
            "data": {"a": "1"},
        }
        assert other.out("apply", "-f", "-", stdin=made) == "configmap/c created"
        made["data"] = {"a": "2"}
        assert one.out("apply", "-f", "-", stdin=made) == "configmap/c configured"
        assert other.out("get", "configmap", "c", "-o", "jsonpath={.data.a}") == "2"
        assert "etcd-0" in other.out("get", "componentstatuses")

    await asyncio.to_thread(use)


async def test_servers_outlive_a_restart_of_etcd(pair: Pair) -> None:
    before = await pair.make(0, "before")
    watching = pair.session.get(f"{pair.urls[1]}{MAPS}?watch=1&resourceVersion={before['metadata']['resourceVersion']}")
    async with watching as answer:
        pair.etcd.kill(0)
        async with asyncio.timeout(30):
            while (await pair.session.get(f"{pair.urls[0]}/readyz")).status == 200:
                await asyncio.sleep(0.05)
        assert (await pair.ask(0, "GET", f"{MAPS}/before"))[0] == 503
        pair.etcd.start(0)
        async with asyncio.timeout(30):
            while (await pair.session.get(f"{pair.urls[0]}/readyz")).status != 200:
                await asyncio.sleep(0.05)
        assert await pair.ask(1, "GET", f"{MAPS}/before") == (200, before)
        after = await pair.make(0, "after")
        event = json.loads(await asyncio.wait_for(answer.content.readline(), 30))
        assert (event["type"], event["object"]) == ("ADDED", after)


async def test_what_is_too_large_for_etcd(pair: Pair) -> None:
    # Small enough for the API, but as JSON it is six times as long.
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fat"}, "data": {"a": "\x01" * 400_000}}
    status, answer = await pair.ask(0, "POST", MAPS, body)
    assert (status, answer["message"]) == (500, "etcdserver: request is too large")
    assert (await pair.ask(1, "GET", f"{MAPS}/fat"))[0] == 404
