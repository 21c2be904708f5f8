"""Sends pod statuses to the API: the newest one only, a few pods at a time, only what changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from kybern.api.errors import APIError, Conflict, NotFound
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.client.transport import severity
from kybern.client.workqueue import WorkQueue

log = logging.getLogger(__name__)

SENDERS = 6


class StatusManager:
    """`mirror_of` gives the API's pod that stands for a static one: its name is the same, its UID is not."""

    def __init__(self, client: Client, mirror_of: Callable[[Object], Object | None]) -> None:
        self._pods = client.resource("v1", "pods")
        self._mirror_of = mirror_of
        self._wanted: dict[str, tuple[Object, Object]] = {}
        self._sent: dict[str, tuple[str, Object]] = {}
        """Pod UID -> (UID it was sent to, status)."""
        self._final: set[str] = set()
        self._queue: WorkQueue = WorkQueue()

    def report(self, pod: Object, status: Object) -> None:
        """Send this status soon."""
        uid = pod["metadata"]["uid"]
        self._wanted[uid] = (pod, status)
        self._queue.add(uid)

    def delete(self, pod: Object) -> None:
        """Send the last status, then delete the pod from the API: nothing of it runs any more."""
        uid = pod["metadata"]["uid"]
        self._final.add(uid)
        # A pod that had ended before this kubelet began may have nothing new to report.
        self._wanted.setdefault(uid, (pod, pod.get("status") or {}))
        self._queue.add(uid)

    def resend(self, uid: str) -> None:
        """The API may not have what was sent (a mirror pod was made anew)."""
        if uid in self._wanted:
            self._queue.add(uid)

    def forget(self, uid: str) -> None:
        """The pod is gone from the API."""
        self._wanted.pop(uid, None)
        self._sent.pop(uid, None)
        self._final.discard(uid)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send_all())

    async def _send_all(self) -> None:
        while True:
            uid = await self._queue.get()
            try:
                await self._send(uid)
                self._queue.forget(uid)
            except NotFound:
                self._queue.forget(uid)
            except APIError as error:
                if isinstance(error, Conflict):
                    log.info("status of pod %s: %s", uid, error)
                else:
                    log.log(severity(error), "status of pod %s not sent: %s", uid, error)
                    self._queue.add_rate_limited(uid)
            finally:
                self._queue.done(uid)

    async def _send(self, uid: str) -> None:
        if uid in self._wanted:
            pod, status = self._wanted[uid]
            target = pod if not self._mirror_of(pod) else self._mirror_of(pod)
            if target is not None and not _is_unmirrored(pod, target):
                await self._patch(uid, target, status)
        if uid in self._final and uid in self._wanted:
            meta = self._wanted[uid][0]["metadata"]
            await self._pods.delete(meta["name"], meta["namespace"], grace_period_seconds=0, uid=uid)
            self._final.discard(uid)

    async def _patch(self, uid: str, target: Object, status: Object) -> None:
        meta = target["metadata"]
        sent_to, sent = self._sent.get(uid, ("", {}))
        before = sent if sent_to == meta["uid"] else target.get("status") or {}
        changed = difference(before, status)
        if not changed:
            return
        body = {"metadata": {"uid": meta["uid"]}, "status": changed}
        await self._pods.patch(meta["name"], body, meta["namespace"], type="strategic", subresource="status")
        self._sent[uid] = (meta["uid"], status)


def _is_unmirrored(pod: Object, target: Object) -> bool:
    """Whether a static pod has no mirror yet."""
    annotations = pod["metadata"].get("annotations") or {}
    return target is pod and annotations.get("kubernetes.io/config.source", "api") != "api"


def difference(before: Object, after: Object) -> Object:
    """The strategic merge patch between two statuses. Conditions merge by type on the server; so would addresses,
    which are replaced instead."""
    changed: dict[str, Any] = {}
    for name, value in after.items():
        old = before.get(name)
        if old == value:
            continue
        if name == "conditions":
            known = {condition["type"]: condition for condition in old or []}
            changed[name] = [condition for condition in value if known.get(condition["type"]) != condition]
        elif name in ("podIPs", "hostIPs") and old:
            changed[name] = [*value, {"$patch": "replace"}]
        else:
            changed[name] = value
    for name in ("reason", "message"):
        if name in before and name not in after:
            changed[name] = None
    return changed
