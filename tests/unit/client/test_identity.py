"""A client whose certificate is renewed while it is in use."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from kybern.client import kubeconfig
from kybern.client.kubeconfig import ClientConfig
from kybern.client.transport import HTTPTransport
from kybern.cluster.pki import Authority, Identity


def pair(authority: Authority, name: str) -> bytes:
    certificate, key = authority.issue(name, Identity(name))
    return certificate.read_bytes() + key.read_bytes()


async def test_new_connections_show_the_new_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers every request of a connection with who connected."""
        der = writer.get_extra_info("ssl_object").getpeercert(True)
        subject = x509.load_der_x509_certificate(der).subject
        name = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        shown.append(name)
        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\n\r\n{name}".encode())
        writer.close()

    certificate, key = authority.issue("server", Identity("server", names=("127.0.0.1",)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority.certificate_path)
    context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    pem = pair(authority, "old")
    ca = authority.certificate_path.read_bytes()
    client = kubeconfig.connect(ClientConfig(f"https://127.0.0.1:{port}", ca, pem, pem))
    try:
        for _ in range(2):
            assert (await client.raw("GET", "/"))[2] == b"old"
        assert shown == ["old"]
        renewed = tmp_path / "new.pem"
        renewed.write_bytes(pair(authority, "new"))
        assert isinstance(client.transport, HTTPTransport)
        await client.transport.change_identity(renewed)
        assert (await client.raw("GET", "/"))[2] == b"new"
        assert shown == ["old", "new"]
    finally:
        await client.close()
        server.close()
