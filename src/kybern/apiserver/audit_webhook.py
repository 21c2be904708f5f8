"""Posts audit events, as lists, to the server that a kubeconfig names.

Source: Kubernetes documentation, "Auditing", "Webhook backend"; API reference, EventList (audit.k8s.io/v1).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path
from urllib.parse import urlsplit

from kybern.api.errors import APIError
from kybern.apiserver.audit_outputs import Batches, Buffer, Event
from kybern.client import kubeconfig
from kybern.client.transport import HTTPTransport
from kybern.process.clock import random
from kybern.process.daemon import OperatorError

ATTEMPTS, GROWTH, JITTER = 5, 1.5, 0.2
SECONDS = 30.0
_HEAD = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['
_HEADERS = {"Accept": "application/json, */*", "Content-Type": "application/json", "User-Agent": "kube-apiserver"}

log = logging.getLogger(__name__)


class AuditWebhook:
    """Sends events at once; `batched` makes it wait for several. `backoff` is the wait before the second attempt, in
    seconds; `limit` and `batch_limit` are bytes of an event and of a list (0: any)."""

    plugin = "webhook"

    def __init__(
        self, path: Path, *, backoff: float = 10.0, strict: bool = False, limit: int = 0, batch_limit: int = 0
    ) -> None:
        """Raises OperatorError."""
        try:
            config = kubeconfig.load(path)
            tls = kubeconfig.tls_context(config) if config.server.startswith("https") else None
        except OperatorError as error:
            raise OperatorError(f"--audit-webhook-config-file: {error}") from error
        parts = urlsplit(config.server)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        base, bearer = f"{parts.scheme}://{parts.netloc}", kubeconfig.bearer(config)
        self._transport = HTTPTransport(base, tls=tls, bearer=bearer, timeout=SECONDS)
        self.strict, self.lost = strict, 0
        self._backoff, self._limit, self._batch_limit = backoff, limit, batch_limit

    def write(self, event: Event) -> Awaitable[bool]:
        return self.deliver([event])

    def batched(self, options: Batches) -> Buffer:
        """The same in batches."""
        return Buffer(self, self.deliver, options, many=True)

    async def deliver(self, events: list[Event]) -> bool:
        """Send them, in as few lists as may be; whether all arrived."""
        lists: list[list[bytes]] = [[]]
        size = 0
        for event in events:
            line = event.json(self._limit)
            if line is None:
                self.lost += 1
                continue
            if self._batch_limit and lists[-1] and size + len(line) > self._batch_limit:
                lists.append([])
                size = 0
            lists[-1].append(line)
            size += len(line)
        done = [await self._send(lines) for lines in lists if lines]
        return all(done)

    async def _send(self, lines: list[bytes]) -> bool:
        body = b"%b%b]}" % (_HEAD, b",".join(lines))
        wait = self._backoff
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(wait * (1 + JITTER * random.random()))
                wait *= GROWTH
            try:
                answer = await self._transport.send("POST", self._target, _HEADERS, body)
            except APIError as error:
                said = str(error)
                continue
            if answer.status < 300:
                return True
            said = f"it answered {answer.status}"
            if answer.status != 429 and answer.status < 500:
                break
        self.lost += len(lines)
        log.error("%d audit events are lost: the webhook: %s", len(lines), said)
        return False

    async def close(self) -> None:
        await self._transport.close()
