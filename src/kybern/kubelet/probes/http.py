"""httpGet: succeeds if the answer's status is from 200 to 399. Follows redirects on the same host."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urljoin, urlsplit

from kybern.api.types import Object
from kybern.kubelet.probes.base import ProbeError, Target

_MAX_BODY, _MAX_REDIRECTS = 10 * 1024, 10
USER_AGENT = "kube-probe/1.36"


def _insecure() -> ssl.SSLContext:
    """A probe asks whether the server answers, not who it is."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def url_of(target: Target, action: Object) -> str:
    """The URL a httpGet action means. Raises ProbeError."""
    scheme = (action.get("scheme") or "HTTP").lower()
    host = action.get("host") or target.ip
    host = f"[{host}]" if ":" in host else host
    path = action.get("path") or "/"
    return f"{scheme}://{host}:{target.port(action['port'])}{path if path.startswith('/') else '/' + path}"


def headers_of(action: Object) -> dict[str, str]:
    return {header["name"]: header.get("value") or "" for header in action.get("httpHeaders") or []}


async def get(url: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """GET on a connection of its own. Raises OSError, ValueError."""
    parts = urlsplit(url)
    tls = _insecure() if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
    try:
        sent = {"Host": parts.netloc, "User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
        names = {name.lower() for name in headers}
        sent = {name: value for name, value in sent.items() if name.lower() not in names} | headers
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        words = head[0].split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/"):
            raise ValueError(f"malformed HTTP response {head[0]!r}")
        answered = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            answered[name.strip().lower()] = value.strip()
        body = await _body(reader, int(answered.get("content-length", -1)))
        return int(words[1]), answered, body
    except asyncio.IncompleteReadError as error:
        raise ValueError("EOF") from error
    except asyncio.LimitOverrunError as error:
        raise ValueError("net/http: server response headers exceeded the limit; aborted") from error
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, length: int) -> bytes:
    """The beginning of the body, which is told when the probe fails."""
    wanted = _MAX_BODY if length < 0 else min(length, _MAX_BODY)
    body = b""
    while len(body) < wanted and (chunk := await reader.read(wanted - len(body))):
        body += chunk
    return body


class HTTPProbe:
    field = "httpGet"

    async def probe(self, target: Target, action: Object, timeout: float) -> tuple[bool, str]:
        url = url_of(target, action)
        try:
            async with asyncio.timeout(timeout):
                return await self._follow(url, headers_of(action))
        except TimeoutError:
            message = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            return False, f'Get "{url}": {message}'
        except (OSError, ValueError) as error:
            parts = urlsplit(url)
            text = (getattr(error, "strerror", None) or str(error)).lower()
            if isinstance(error, OSError):
                text = f"dial tcp {parts.hostname}:{parts.port}: connect: {text}"
            return False, f'Get "{url}": {text}'

    async def _follow(self, url: str, headers: dict[str, str]) -> tuple[bool, str]:
        host = urlsplit(url).hostname
        for _ in range(_MAX_REDIRECTS):
            code, answered, body = await get(url, headers)
            following = urljoin(url, answered.get("location", ""))
            if not (300 <= code < 400 and answered.get("location")) or urlsplit(following).hostname != host:
                break
            url = following
        else:
            raise ProbeError("stopped after 10 redirects")
        if 200 <= code < 400:
            return True, body.decode("utf-8", "replace")
        return False, f"HTTP probe failed with statuscode: {code}"


PROBE = HTTPProbe()
