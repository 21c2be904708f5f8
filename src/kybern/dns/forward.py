"""Asking other servers what is not this cluster's to answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode

from kybern.process.clock import monotonic

log = logging.getLogger(__name__)

TIMEOUT = 2.0
CACHE_SECONDS, CACHE_SIZE = 30, 10_000
Question = tuple[str, int, int]


def nameservers(path: Path, besides: Sequence[str]) -> list[str]:
    """The servers a resolv.conf names, without those in `besides`: a server must not ask itself."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    found = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
    return [address for address in found if address not in besides]


class Forwarder:
    """Asks the servers in turn and remembers answers for their TTL, 30 s at most."""

    def __init__(self, servers: Sequence[str]) -> None:
        """`servers`: addresses, or `address:port`."""
        self.servers = [_split(server) for server in servers]
        self._cache: dict[Question, tuple[float, dns.message.Message]] = {}

    async def ask(self, query: dns.message.Message) -> dns.message.Message:
        """The answer, with the query's id; SERVFAIL when nobody gave one."""
        question = query.question[0]
        key = (question.name.to_text().lower(), question.rdtype, question.rdclass)
        kept = self._cache.get(key)
        if kept and kept[0] > monotonic():
            return _with_id(kept[1], query)
        for address, port in self.servers:
            try:
                answer, _ = await dns.asyncquery.udp_with_fallback(query, address, timeout=TIMEOUT, port=port)
            except (OSError, dns.exception.DNSException) as error:
                log.debug("%s does not answer for %s: %s", address, key[0], error)
                continue
            self._remember(key, answer)
            return answer
        failed = dns.message.make_response(query, recursion_available=True)
        failed.set_rcode(dns.rcode.SERVFAIL)
        return failed

    def _remember(self, key: Question, answer: dns.message.Message) -> None:
        ttls = [rrset.ttl for section in (answer.answer, answer.authority) for rrset in section]
        if answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) and ttls:
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[key] = (monotonic() + min(*ttls, CACHE_SECONDS), answer)


def _with_id(answer: dns.message.Message, query: dns.message.Message) -> dns.message.Message:
    answer.id = query.id
    return answer


def _split(server: str) -> tuple[str, int]:
    host, separator, port = server.rpartition(":")
    if separator and ":" not in host and port.isdigit():
        return host, int(port)
    return server, 53
