"""Legacy tokens that made themselves and that nobody uses: marked invalid after a year, removed after another.

Source: KEP-2799 Reduction of Secret-based Service Account Tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any

from kybern.api.errors import Conflict, NotFound
from kybern.api.legacytokens import INVALID_SINCE, LAST_USED, TRACKING, TRACKING_NAMESPACE, TYPE, is_automatic
from kybern.api.types import Object, key_of
from kybern.controllers.controller import Context, Controller, periodically
from kybern.process.clock import clock, parse_time

EVERY = 24 * 3600.0

log = logging.getLogger(__name__)


class LegacyTokenCleaner(Controller):
    name = "legacy-serviceaccount-token-cleaner-controller"
    aliases = ("legacy-service-account-token-cleaner",)
    workers = 0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.accounts = self.informer("v1", "serviceaccounts")
        self.secrets = self.informer("v1", "secrets", field_selector=f"type={TYPE}")
        self.pods = self.informer("v1", "pods")
        self._secrets = self.client.resource("v1", "secrets")
        self._maps = self.client.resource("v1", "configmaps")

    def background(self) -> Iterable[Coroutine[Any, Any, None]]:
        return (periodically(EVERY, self._clean, self.name),)

    async def _clean(self) -> None:
        period = self.options.legacy_token_clean_up_period
        try:
            tracking = await self._maps.get(TRACKING, TRACKING_NAMESPACE)
        except NotFound:
            return
        since = _day((tracking.get("data") or {}).get("since"))
        # Before that, nobody knows what was used.
        if since is None or since > clock.time() - period:
            return
        mounted = mounted_secrets(self.pods.list())
        automatic = [s for a in self.accounts.list() for s in self._of(a) if key_of(s) not in mounted]
        for secret in automatic:
            await self._treat(secret, to_do(secret, clock.time(), period))

    def _of(self, account: Object) -> list[Object]:
        namespace = account["metadata"]["namespace"]
        found = (self.secrets.get(f"{namespace}/{ref.get('name', '')}") for ref in account.get("secrets") or ())
        return [secret for secret in found if secret and is_automatic(account, secret["metadata"]["name"])]

    async def _treat(self, secret: Object, what: str) -> None:
        meta = secret["metadata"]
        try:
            if what == "delete":
                log.info("removing the legacy token %s, which was marked invalid and not missed", key_of(secret))
                await self._secrets.delete(
                    meta["name"], meta["namespace"], uid=meta["uid"], resource_version=meta["resourceVersion"]
                )
            elif what:
                day = clock.stamp()[:10] if what == "mark" else None
                change = {"metadata": {"resourceVersion": meta["resourceVersion"], "labels": {INVALID_SINCE: day}}}
                await self._secrets.patch(meta["name"], change, meta["namespace"])
        except (NotFound, Conflict):
            return


def to_do(secret: Object, now: float, period: float) -> str:
    """`mark` as invalid, `unmark`, `delete`, or nothing."""
    meta = secret["metadata"]
    labels = meta.get("labels") or {}
    edge = now - period
    if parse_time(meta["creationTimestamp"]) > edge:
        return ""
    used = _day(labels.get(LAST_USED))
    marked = _day(labels.get(INVALID_SINCE))
    if used is not None and used > edge:
        return "unmark" if INVALID_SINCE in labels else ""
    if marked is None:
        return "mark"
    return "delete" if marked < edge else ""


def mounted_secrets(pods: Iterable[Object]) -> set[str]:
    """`namespace/name` of the Secrets that pods mount."""
    return {
        f"{pod['metadata']['namespace']}/{(volume.get('secret') or {}).get('secretName')}"
        for pod in pods
        for volume in pod["spec"].get("volumes") or ()
        if volume.get("secret")
    }


def _day(text: str | None) -> float | None:
    try:
        return datetime.strptime(text or "", "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
