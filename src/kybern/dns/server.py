"""The DNS server: UDP and TCP on one address. Answers from the zone are encoded once per question and zone version."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

from kybern.dns.forward import Forwarder
from kybern.dns.records import TTL, Answer, Record, Records
from kybern.process.clock import random
from kybern.process.daemon import OperatorError, reason

log = logging.getLogger(__name__)

_CACHE_SIZE = 20_000
_PLAIN_UDP = 512
_MAX_ALIASES = 8
"""ExternalName Services that may point at one another before that counts as going in circles."""


class Resolver:
    """Wire query in, wire answer out. Until `synced`, nobody is told that a name of the cluster does not exist."""

    def __init__(self, records: Records, forwarder: Forwarder) -> None:
        self.records, self.forwarder = records, forwarder
        self.synced = True
        self._cache: dict[tuple[bytes, bool], bytes] = {}
        self._version = -1

    async def resolve(self, wire: bytes, tcp: bool) -> bytes | None:
        """The answer; None for what isn't a query at all."""
        if self._version != self.records.version:
            self._cache.clear()
            self._version = self.records.version
        kept = self._cache.get((wire[2:], tcp))
        if kept is not None:
            return wire[:2] + kept
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return _format_error(wire)
        if query.flags & dns.flags.QR:
            return None
        answer, cacheable = await self._answer(query)
        encoded = _encode(answer, query, tcp)
        if cacheable and len(self._cache) < _CACHE_SIZE:
            self._cache[(wire[2:], tcp)] = encoded[2:]
        return encoded

    async def _answer(self, query: dns.message.Message) -> tuple[dns.message.Message, bool]:
        """The answer, and whether the same one may be given until the zone changes."""
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            refused = dns.message.make_response(query)
            refused.set_rcode(dns.rcode.NOTIMP if query.opcode() != dns.opcode.QUERY else dns.rcode.FORMERR)
            return refused, False
        question = query.question[0]
        name, type_ = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        holds = self.records.holds(name)
        if holds and not self.synced:
            unsure = dns.message.make_response(query, recursion_available=True)
            unsure.set_rcode(dns.rcode.SERVFAIL)
            return unsure, False
        found = self.records.answer(name, type_) if holds else None
        if found is None:
            return await self.forwarder.ask(query), False
        response = self._build(query, _shuffled(found))
        if any(record.type == "CNAME" for record in found.records) and type_ != "CNAME":
            await self._chase(response, found, type_)
            return response, False
        return response, len(found.records) < 2

    def _build(self, query: dns.message.Message, found: Answer) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.AA
        for section, records in ((response.answer, found.records), (response.additional, found.additional)):
            for record in records:
                _add(section, record)
        if not found.records:
            response.set_rcode(dns.rcode.NOERROR if found.exists else dns.rcode.NXDOMAIN)
            _add(response.authority, self._soa())
        return response

    def _soa(self) -> Record:
        # The serial is the zone's version: it changes with the zone, which is all a serial has to do.
        zone = self.records.zone
        return Record(
            zone, "SOA", f"ns.dns.{zone}. hostmaster.{zone}. {self.records.version + 1} 7200 1800 86400 {TTL}"
        )

    async def _chase(self, response: dns.message.Message, found: Answer, type_: str) -> None:
        """Add what an ExternalName's target resolves to, as clients without a resolver of their own expect."""
        for _ in range(_MAX_ALIASES):
            target = found.records[0].value
            name = target.rstrip(".").lower()
            following = self.records.answer(name, type_) if self.records.holds(name) else None
            if following is None:
                response.answer += (await self.forwarder.ask(dns.message.make_query(target, type_))).answer
                return
            for record in _shuffled(following).records:
                _add(response.answer, record)
            if not following.records or following.records[0].type != "CNAME":
                return
            found = following
        response.answer.clear()
        response.set_rcode(dns.rcode.SERVFAIL)


def _shuffled(found: Answer) -> Answer:
    """Several addresses come in a different order each time, which spreads clients that take the first."""
    if len(found.records) < 2:
        return found
    return replace(found, records=random.sample(found.records, len(found.records)))


def _add(section: list[dns.rrset.RRset], record: Record) -> None:
    new = dns.rrset.from_text(f"{record.name}.", TTL, "IN", record.type, record.value)
    for rrset in section:
        if rrset.name == new.name and rrset.rdtype == new.rdtype:
            for rdata in new:
                rrset.add(rdata, TTL)
            return
    section.append(new)


def _encode(answer: dns.message.Message, query: dns.message.Message, tcp: bool) -> bytes:
    size = 65535 if tcp else max(query.payload, _PLAIN_UDP) if query.edns >= 0 else _PLAIN_UDP
    try:
        return answer.to_wire(max_size=size)
    except dns.exception.TooBig:
        short = dns.message.make_response(query, recursion_available=True)
        short.flags |= dns.flags.TC
        return short.to_wire()


def _format_error(wire: bytes) -> bytes | None:
    """FORMERR for anything with a whole header that asks something."""
    if len(wire) < 12 or wire[2] & 0x80:
        return None
    return wire[:2] + bytes([0x80 | (wire[2] & 0x79), 0x80 | dns.rcode.FORMERR]) + bytes(8)


class _UDP(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        task = asyncio.ensure_future(self._serve(data, addr))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        try:
            answer = await self.resolver.resolve(data, tcp=False)
        except Exception:  # one bad question must not end the server; it is logged whole
            log.exception("no answer for a question from %s", addr[0])
            return
        if answer:
            self.transport.sendto(answer, addr)


def _tcp(resolver: Resolver) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(30):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(size)
                answer = await resolver.resolve(data, tcp=True)
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            return
        finally:
            writer.close()

    return serve


class Server:
    """The listening sockets; `port` is the one bound."""

    def __init__(self, udp: asyncio.BaseTransport, tcp: asyncio.Server, port: int) -> None:
        self._udp, self._tcp, self.port = udp, tcp, port

    async def close(self) -> None:
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()


async def listen(resolver: Resolver, address: str, port: int) -> Server:
    """Serve on UDP and TCP. Raises OperatorError where the port can't be had."""
    loop = asyncio.get_running_loop()
    try:
        tcp = await asyncio.start_server(_tcp(resolver), address, port)
        bound = int(tcp.sockets[0].getsockname()[1])
        udp, _ = await loop.create_datagram_endpoint(lambda: _UDP(resolver), local_addr=(address, bound))
    except OSError as error:
        raise OperatorError(f"can't serve DNS on {address}:{port}: {reason(error)}; choose another --port") from error
    return Server(udp, tcp, bound)
