"""Removes bootstrap tokens that have expired."""

from __future__ import annotations

import logging

from kybern.api import bootstraptokens as tokens
from kybern.api.errors import Conflict, NotFound
from kybern.api.types import key_of
from kybern.controllers.controller import Context, Controller
from kybern.process.clock import clock

log = logging.getLogger(__name__)


class TokenCleaner(Controller):
    name = "token-cleaner-controller"
    aliases = ("tokencleaner",)
    by_default = False
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.secrets = self.informer("v1", "secrets", field_selector=f"type={tokens.SECRET_TYPE}")
        self._secrets = self.client.resource("v1", "secrets")
        self.watch(self.secrets, lambda obj: [key_of(obj)])

    async def reconcile(self, key: str) -> float | None:
        secret = self.secrets.get(key)
        if secret is None or secret["metadata"]["namespace"] != tokens.NAMESPACE:
            return None
        left = tokens.remaining(secret, clock.time())
        if left != 0:
            return left
        meta = secret["metadata"]
        log.info("removing the expired bootstrap token %s", meta["name"])
        try:
            await self._secrets.delete(meta["name"], meta["namespace"], uid=meta["uid"])
        except (NotFound, Conflict):
            return None
        return None
