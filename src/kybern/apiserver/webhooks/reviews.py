"""Asks another server about tokens and access: a review is posted, its status comes back. Whom to ask and as whom is in
a kubeconfig.

Source: Kubernetes documentation, "Webhook Token Authentication" and "Webhook Mode".
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from kybern.api.types import Object
from kybern.apiserver.webhooks.client import CallFailed, Hook
from kybern.apiserver.webhooks.credentials import NOBODY
from kybern.client import kubeconfig
from kybern.process.clock import random
from kybern.process.daemon import OperatorError
from kybern.process.dialing import Dial, straight

SECONDS = 30.0
ATTEMPTS, WAIT, GROWTH, JITTER = 5, 0.5, 1.5, 0.2
_AGAIN = frozenset((429, 500, 504))


class Reviewer:
    """One server. `kind` is TokenReview or SubjectAccessReview; `api_version` the version in which it is spoken to;
    `wait` the seconds before the first repetition."""

    def __init__(
        self, flag: str, path: Path, api_version: str, kind: str, timeout: float = SECONDS, *, wait: float = WAIT,
        through: Dial = straight,
    ) -> None:  # fmt: skip
        try:
            config = kubeconfig.load(path)
            tls = kubeconfig.tls_context(config) if config.server.startswith("https") else None
        except OperatorError as error:
            raise OperatorError(f"{flag}: {error}") from error
        bearer = kubeconfig.bearer(config) or NOBODY.bearer
        self._hook = Hook(config.server, tls, server_name=config.server_name, bearer=bearer, through=through)
        self._api_version, self._kind, self._timeout = api_version, kind, timeout
        self._wait = wait

    async def ask(self, spec: Object) -> Object:
        """The status of a review. What may pass is tried again. Raises CallFailed."""
        review = {"kind": self._kind, "apiVersion": self._api_version, "metadata": {}, "spec": spec}
        wait = self._wait
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await self._hook.post(review, timeout=self._timeout, tell=False)
                break
            except CallFailed as error:
                if error.code not in _AGAIN or attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(wait * (1 + JITTER * random.random()))
            wait *= GROWTH
        return _status(answer, self._api_version, self._kind)

    def close(self) -> None:
        """Close what is open."""
        self._hook.close()


def _status(answer: Object, api_version: str, kind: str) -> Object:
    if (answer.get("apiVersion"), answer.get("kind")) != (api_version, kind):
        raise CallFailed(f"webhook returned {answer.get('kind')} in {answer.get('apiVersion')}, not a {kind}", 500)
    status: Any = answer.get("status")
    if not isinstance(status, dict):
        raise CallFailed("webhook returned a review without a status", 500)
    return status
