"""Static pods from a URL, asked again every `period` seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import aiohttp

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
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout, headers=self.headers) as session:
            while True:
                try:
                    async with session.get(self.url) as answer:
                        answer.raise_for_status()
                        text = await answer.text()
                    if text != self._seen:
                        pods = [static_pod(item, self.url, "http", self.node_name) for item in parse(text)]
                        self._seen = text
                        self.changed("http", pods)
                except (aiohttp.ClientError, TimeoutError, BadManifest) as error:
                    log.warning("failed to read pods from URL %s: %s", self.url, error)
                await asyncio.sleep(self.period)
