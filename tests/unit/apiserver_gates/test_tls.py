"""The listener's certificates are followed."""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from kybern.apiserver import config_files, flags_tls, tls
from kybern.apiserver.app import App
from kybern.apiserver.authn.authorities import Authorities, verified_chain
from kybern.apiserver.authn.x509 import ClientCertificate
from kybern.apiserver.flags import add_flags
from kybern.apiserver.server import Server
from kybern.process.daemon import OperatorError
from tests.unit.apiserver_gates.authority import Authority


async def status(port: int, context: ssl.SSLContext) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    line = await reader.readline()
    writer.close()
    if not line:
        raise ConnectionResetError
    return int(line.split()[1])


async def test_new_connections_go_by_the_files_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_files, "EVERY", 0.01)
    old, new = Authority(tmp_path, "old"), Authority(tmp_path, "new")
    ca, certificate, key = (tmp_path / name for name in ("ca.crt", "tls.crt", "tls.key"))

    def write(authority: Authority) -> None:
        served, private = authority.issue("server")
        key.write_bytes(private.read_bytes())
        certificate.write_bytes(served.read_bytes())
        ca.write_bytes(authority.path.read_bytes())

    write(old)
    secured = tls.ListenerTLS(tls.Files(certificate, key, ca))
    authorities = Authorities("--client-ca-file", ca)
    secured.on_change(authorities.reload)
    secured.start()
    app = App(None, authenticators=[ClientCertificate(authorities)], anonymous=False)  # type: ignore[arg-type]
    server = Server(app)
    server.chain_of = verified_chain
    port = await server.start("127.0.0.1", 0, secured.context)
    try:
        # Known, and then forbidden; without a certificate unknown.
        assert await status(port, old.client_context(old.issue("bob"))) == 403
        assert await status(port, old.client_context()) == 401
        write(new)
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await status(port, new.client_context(new.issue("bob"))) == 403
                    break
                except OSError:
                    await asyncio.sleep(0.02)
        with pytest.raises(OSError):
            await status(port, old.client_context())
        # Clients of the old authority aren't known any more.
        stranger = new.client_context(old.issue("bob"))
        with pytest.raises(OSError):
            await status(port, stranger)
        certificate.write_text("nonsense")
        await asyncio.sleep(0.1)
        assert await status(port, new.client_context()) == 401
    finally:
        await secured.stop()
        await server.close(0)


def negotiated(port: int, context: ssl.SSLContext, name: str | None = None) -> tuple[str, str, str]:
    """Version, cipher and the common name that is served."""
    context.check_hostname = False
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        found, cipher = secured.getpeercert(), secured.cipher()
        assert found and cipher
        subject: Any = found["subject"]
        return secured.version() or "", cipher[0], dict(pair[0] for pair in subject)["commonName"]


async def listening(*flags: str, authority: Authority) -> tuple[Server, int]:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    args = parser.parse_args(flags)
    flags_tls.check(args)
    certificate, key = authority.issue("main")
    server = Server(App(None))  # type: ignore[arg-type]
    secured = tls.ListenerTLS(flags_tls.files(args, certificate, key))
    return server, await server.start("127.0.0.1", 0, secured.context)


async def test_a_certificate_for_the_name_that_is_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    pairs = [",".join(map(str, authority.issue(name))) for name in ("one", "two")]
    names = ("one.example,*.below.example", "two.example")
    given = [f"--tls-sni-cert-key={pair}:{name}" for pair, name in zip(pairs, names, strict=True)]
    server, port = await listening(*given, authority=authority)
    try:
        for name, served in (
            ("one.example", "one"), ("ONE.example", "one"), ("two.example", "two"), ("a.below.example", "one"),
            ("b.a.below.example", "main"), ("other.example", "main"), (None, "main"),
        ):  # fmt: skip
            found = await asyncio.to_thread(negotiated, port, authority.client_context(), name)
            assert found[2] == served, name
    finally:
        await server.close(0)


async def test_versions_and_ciphers(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    server, port = await listening("--tls-cipher-suites", suite, authority=authority)
    old = authority.client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        found = await asyncio.to_thread(negotiated, port, old)
        assert found[:2] == ("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305")
    finally:
        await server.close(0)
    server, port = await listening("--tls-min-version", "VersionTLS13", authority=authority)
    try:
        with pytest.raises(ssl.SSLError):
            await asyncio.to_thread(negotiated, port, old)
        assert (await asyncio.to_thread(negotiated, port, authority.client_context()))[0] == "TLSv1.3"
    finally:
        await server.close(0)
    with pytest.raises(OperatorError, match="Cipher suite X not supported"):
        await listening("--tls-cipher-suites", "X", authority=authority)
