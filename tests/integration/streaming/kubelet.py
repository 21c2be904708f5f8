"""A kubelet's streaming endpoints and no containers: what is typed is echoed."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kybern.streaming import exit_status, remote_command
from kybern.streaming.port_forward import Forwarded, Forwarder
from kybern.streaming.remote_command import Options, Session, negotiate
from kybern.streaming.streams import pump


def certificate(directory: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate of its own."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "n")])
    now = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=36500))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = directory / "kubelet.pem"
    pem.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


class Kubelet:
    """Listens on `port`; `asked` holds the request lines."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            self.asked.append(head[0])
            url = urlsplit(head[0].split(" ")[1])
            offered = [line.partition(": ")[2] for line in head if line.lower().startswith("x-stream-protocol")]
            what, query = url.path.split("/")[1], parse_qs(url.query)
            if what == "containerLogs":
                await self._log(writer, query)
            elif url.path.endswith("/absent"):
                text = b'container not found ("absent")'
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            elif what == "portForward":
                self._switch(writer, "portforward.k8s.io")
                await self._forward(reader, writer)
            elif what in ("exec", "attach"):
                protocol = negotiate(offered) or ""
                self._switch(writer, protocol)
                async with remote_command.serve_spdy(reader, writer, Options.of(query), protocol) as session:
                    await self._run(session, query.get("command", ["cat"]))
            else:
                await self._plain(writer, head, url.path)
        writer.close()

    def _switch(self, writer: asyncio.StreamWriter, protocol: str) -> None:
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            b"X-Stream-Protocol-Version: %b\r\n\r\n" % protocol.encode()
        )

    async def _log(self, writer: asyncio.StreamWriter, query: dict[str, list[str]]) -> None:
        if "previous" in query:
            text = b'previous terminated container "c" in pod "p" not found'
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        for line in (b"one\n", b"two\n"):
            writer.write(b"%x\r\n%b\r\n" % (len(line), line))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async def _plain(self, writer: asyncio.StreamWriter, head: list[str], path: str) -> None:
        if path == "/moved":
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /there?x=1\r\nContent-Length: 0\r\n\r\n")
            return
        said = "\n".join(head).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))

    async def _run(self, session: Session, command: list[str]) -> None:
        """`exit N`, `echo TEXT`, `fail TEXT` (on stderr, 1), `size` (waits for one), or cat."""
        match command:
            case ["exit", code]:
                await session.finish(exit_status.exited(int(code)))
                return
            case ["echo", text]:
                await session.stdout.write(text.encode())
            case ["fail", text]:
                await session.stderr.write(text.encode())
                await session.finish(exit_status.exited(1))
                return
            case ["size"]:
                async for size in session.sizes():
                    self.sizes.append(size)
                    break
            case _:
                await pump(session.stdin, session.stdout)
        await session.finish(exit_status.success())

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Port 81 refuses; others answer in upper case."""
        async with Forwarder(reader, writer, client=False) as forwarder:
            tasks = set()
            while (forwarded := await forwarder.accept()) is not None:
                tasks.add(asyncio.ensure_future(self._answer(forwarded)))
            for task in tasks:
                task.cancel()

    async def _answer(self, forwarded: Forwarded) -> None:
        if forwarded.port == 81:
            await forwarded.fail("connection refused")
            return
        with contextlib.suppress(ConnectionError):
            while data := await forwarded.data.read():
                await forwarded.data.write(data.upper())
            await forwarded.data.close_write()
            await forwarded.error.close_write()
