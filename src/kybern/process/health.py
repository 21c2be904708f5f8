"""/healthz, /livez, /readyz, /metrics and /metrics/slis: a listener so small that every component can afford one."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping

from kybern.process import metrics
from kybern.process.daemon import OperatorError, reason

Check = Callable[[], "str | Awaitable[str | None] | None"]
"""Gives None while well, else what is wrong."""

_ENDPOINTS = ("healthz", "livez", "readyz")
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}


async def respond(path: str, checks: Mapping[str, Check]) -> tuple[int, str, bytes]:
    """The answer to a GET: status, content type, body. `?verbose` lists the checks, as upstream does."""
    path, _, query = path.partition("?")
    if path == "/metrics":
        return 200, metrics.CONTENT_TYPE, metrics.page()
    if path == "/metrics/slis":
        return 200, metrics.CONTENT_TYPE, metrics.slis()
    endpoint, _, only = path.lstrip("/").partition("/")
    if endpoint not in _ENDPOINTS or (only and only not in checks):
        return 404, "text/plain; charset=utf-8", b"404 page not found\n"
    lines: list[str] = []
    failed = False
    for name in [only] if only else ["ping", *checks]:
        wrong = await _run(checks[name]) if name in checks else None
        metrics.checked(endpoint, name, well=wrong is None)
        failed = failed or wrong is not None
        lines.append(f"[+]{name} ok" if wrong is None else f"[-]{name} failed: {wrong}")
    if failed:
        text = "\n".join([*lines, f"{endpoint} check failed\n"])
        return 500, "text/plain; charset=utf-8", text.encode()
    body = "\n".join([*lines, f"{endpoint} check passed\n"]) if "verbose" in query else "ok"
    return 200, "text/plain; charset=utf-8", body.encode()


async def _run(check: Check) -> str | None:
    result = check()
    if result is None or isinstance(result, str):
        return result
    return await result


class HealthServer:
    """The running listener; `port` is the one bound."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self.port: int = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        await self._server.wait_closed()


async def serve_health(
    host: str, port: int, checks: Mapping[str, Check] | None = None, ssl: ssl.SSLContext | None = None
) -> HealthServer:
    """Listen; port 0 picks one. Raises OperatorError if the address can't be had."""
    known = checks or {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, *_ = [*head.split("\r\n", 1)[0].split(" "), "", ""]
            if method not in ("GET", "HEAD"):
                status, kind, body = 405, "text/plain", b"method not allowed\n"
            else:
                status, kind, body = await respond(path, known)
            writer.write(
                f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                f"Connection: close\r\n\r\n".encode()
                + (body if method == "GET" else b"")
            )
            await writer.drain()
        writer.close()

    try:
        return HealthServer(await asyncio.start_server(serve, host, port, ssl=ssl))
    except OSError as error:
        said = f"can't listen on {host}:{port} for health checks: {reason(error)}; choose another port"
        raise OperatorError(said) from error
