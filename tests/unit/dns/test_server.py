"""The server on the wire, asked by dig."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from kybern.dns.forward import Forwarder, nameservers
from kybern.dns.records import Records
from kybern.dns.server import Resolver, Server, listen

dig_is_here = pytest.mark.skipif(not shutil.which("dig"), reason="dig is not installed")


def zone() -> Records:
    records = Records()
    records.set_namespace("ns", True)
    meta = {"namespace": "ns", "name": "web"}
    records.set_service("ns", "web", {"metadata": meta, "spec": {"clusterIP": "10.96.0.7", "ports": []}})
    meta = {"namespace": "ns", "name": "many"}
    records.set_service("ns", "many", {"metadata": meta, "spec": {"clusterIP": "None"}})
    endpoints = [{"addresses": [f"10.1.{i // 250}.{i % 250}"]} for i in range(400)]
    labels = {"kubernetes.io/service-name": "many"}
    records.set_slice("ns", "s", None, {"metadata": {"labels": labels}, "endpoints": endpoints, "ports": []})
    return records


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server that forwards to another, which knows `upstream.test` only."""
    other = Records("upstream.test")
    upstream = await listen(Resolver(other, Forwarder([])), "127.0.0.1", 0)
    server = await listen(Resolver(zone(), Forwarder([f"127.0.0.1:{upstream.port}"])), "127.0.0.1", 0)
    yield server
    await server.close()
    await upstream.close()


async def dig(server: Server, *words: str) -> str:
    command = ["dig", "@127.0.0.1", "-p", str(server.port), "+tries=1", "+time=3", *words]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode()


@dig_is_here
async def test_dig_gets_an_address(server: Server) -> None:
    assert await dig(server, "+short", "web.ns.svc.cluster.local") == "10.96.0.7\n"
    assert await dig(server, "+short", "WEB.ns.svc.cluster.LOCAL") == "10.96.0.7\n"
    assert await dig(server, "+short", "+tcp", "web.ns.svc.cluster.local") == "10.96.0.7\n"


@dig_is_here
async def test_dig_sees_authority_and_status(server: Server) -> None:
    said = await dig(server, "nope.ns.svc.cluster.local")
    assert "status: NXDOMAIN" in said
    assert "flags: qr aa rd ra" in said
    assert "SOA" in said
    assert "status: NOERROR" in await dig(server, "web.ns.svc.cluster.local", "AAAA")


@dig_is_here
async def test_a_large_answer_is_truncated_and_whole_over_tcp(server: Server) -> None:
    short = await dig(server, "+ignore", "+bufsize=512", "many.ns.svc.cluster.local")
    assert " tc " in short
    assert len((await dig(server, "+short", "many.ns.svc.cluster.local")).split()) == 400


@dig_is_here
async def test_other_names_are_forwarded(server: Server) -> None:
    assert '"1.1.0"' in await dig(server, "+short", "dns-version.upstream.test", "TXT")
    assert "status: SERVFAIL" in await dig(server, "unknown.example")


async def test_external_names_are_followed_but_not_in_circles() -> None:
    records = zone()
    for name, target in {"one": "two", "two": "web", "a": "b", "b": "a"}.items():
        spec = {"type": "ExternalName", "externalName": f"{target}.ns.svc.cluster.local"}
        records.set_service("ns", name, {"metadata": {"namespace": "ns", "name": name}, "spec": spec})
    resolver = Resolver(records, Forwarder([]))

    async def ask(name: str) -> dns.message.Message:
        query = dns.message.make_query(f"{name}.ns.svc.cluster.local", "A")
        answer = await resolver.resolve(query.to_wire(), tcp=False)
        assert answer
        return dns.message.from_wire(answer)

    followed = await ask("one")
    assert [rrset.rdtype.name for rrset in followed.answer] == ["CNAME", "CNAME", "A"]
    assert str(followed.answer[-1][0]) == "10.96.0.7"
    circle = await ask("a")
    assert circle.rcode() == dns.rcode.SERVFAIL and not circle.answer


@pytest.mark.parametrize("name", ["web.ns.svc.cluster.local", "nope.ns.svc.cluster.local", "7.0.96.10.in-addr.arpa"])
async def test_nothing_is_denied_before_everything_is_known(name: str) -> None:
    resolver = Resolver(zone(), Forwarder([]))
    resolver.synced = False
    query = dns.message.make_query(name, "A")
    early = await resolver.resolve(query.to_wire(), tcp=False)
    assert early
    assert dns.message.from_wire(early).rcode() == dns.rcode.SERVFAIL
    resolver.synced = True
    later = await resolver.resolve(query.to_wire(), tcp=False)
    assert later
    assert dns.message.from_wire(later).rcode() != dns.rcode.SERVFAIL


async def test_answers_are_kept_until_the_zone_changes() -> None:
    records = zone()
    resolver = Resolver(records, Forwarder([]))
    query = dns.message.make_query("web.ns.svc.cluster.local", "A")
    first = await resolver.resolve(query.to_wire(), tcp=False)
    query.id = (query.id + 1) % 65536
    second = await resolver.resolve(query.to_wire(), tcp=False)
    assert first and second
    assert first[2:] == second[2:]
    assert second[:2] == query.id.to_bytes(2, "big")
    records.set_service("ns", "web", None)
    third = await resolver.resolve(query.to_wire(), tcp=False)
    assert third
    assert dns.message.from_wire(third).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    "junk", [b"", b"x", bytes(11), b"\x00\x01\x01\x00\x00\x01" + bytes(6), b"\x12\x34" + b"\xff" * 40]
)
async def test_junk_is_answered_or_dropped(junk: bytes) -> None:
    answer = await Resolver(zone(), Forwarder([])).resolve(junk, tcp=False)
    assert answer is None or answer[:2] == junk[:2]


async def test_the_port_is_checked() -> None:
    from kybern.process.daemon import OperatorError

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OperatorError, match="choose another --port"):
            await listen(Resolver(zone(), Forwarder([])), "127.0.0.1", taken.getsockname()[1])


def test_a_server_does_not_forward_to_itself(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("search x\nnameserver 10.0.0.1\nnameserver 192.0.2.1\n#nameserver 1.1.1.1\n")
    assert nameservers(tmp_path / "resolv.conf", ["10.0.0.1"]) == ["192.0.2.1"]
    assert nameservers(tmp_path / "missing", []) == []
