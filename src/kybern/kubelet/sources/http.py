"""Static pods from a URL, asked again every `period` seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

from kybern.client.http import Pool
from kybern.kubelet.sources.base import BadManifest, Changed, parse, static_pod

log = logging.getLogger(__name__)

_TIMEOUT = 10.0


class HTTPSource:
    """--manifest-url and --manifest-url-header."""

    def __init__(
        self, url: str, headers: Mapping[str, str], node_name: str, changed: Changed, period: float = 20
    ) -> None:
        self.url, self.headers, self.node_name = url, dict(headers), node_name
        self.changed, self.period = changed, period
        self._seen: str | None = None

    async def run(self) -> None:
        parts = urlsplit(self.url)
        pool = Pool(f"{parts.scheme}://{parts.netloc}", None)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            while True:
                try:
                    text = await self._fetch(pool, target)
                    if text != self._seen:
                        pods = [static_pod(item, self.url, "http", self.node_name) for item in parse(text)]
                        self._seen = text
                        self.changed("http", pods)
                except (OSError, TimeoutError, BadManifest) as error:
                    log.warning("failed to read pods from URL %s: %s", self.url, error)
                await asyncio.sleep(self.period)
        finally:
            pool.close()

    async def _fetch(self, pool: Pool, target: str) -> str:
        async with asyncio.timeout(_TIMEOUT), pool.request("GET", target, self.headers, None) as answer:
            body = b"".join([part async for part in answer.parts()])
            if answer.status != 200:
                raise BadManifest(f"the server answered {answer.status}")
            return body.decode(errors="replace")
