"""The listener's certificates are followed."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from kybern.apiserver import config_files, tls
from kybern.apiserver.app import App
from kybern.apiserver.authn.authorities import Authorities, verified_chain
from kybern.apiserver.authn.x509 import ClientCertificate
from kybern.apiserver.server import Server
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
        async with asyncio.timeout(10):
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
