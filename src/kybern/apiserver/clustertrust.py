"""ConfigMaps by which the server tells others what it trusts and what it keeps track of.

extension-apiserver-authentication has what servers behind this one need to believe who it says asks;
kube-apiserver-legacy-service-account-token-tracking has since when the use of legacy tokens is noted.
Several servers share them: what one adds, another doesn't take away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from kybern.api.errors import AlreadyExists, APIError, NotFound
from kybern.api.legacytokens import TRACKING, TRACKING_NAMESPACE
from kybern.api.types import Object
from kybern.apiserver.authn.requestheader import FrontProxyOptions
from kybern.apiserver.registry import Registry
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError
from kybern.store.base import StoreError

EVERY = 60.0
NAMESPACE, AUTHENTICATION = "kube-system", "extension-apiserver-authentication"
_PREFIX = "requestheader-"

log = logging.getLogger(__name__)

Data = dict[str, str]


class ClusterTrust:
    """Keeps both ConfigMaps as they should be. Raises OperatorError for CA files that can't be read."""

    def __init__(self, registry: Registry, client_ca: Path | None, proxy: FrontProxyOptions) -> None:
        self._registry = registry
        self._files = client_ca, proxy
        self._trust = _trust(*self._files)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Write them, and look after them from now on."""
        await self._write()
        self._task = asyncio.ensure_future(self._keep())

    async def stop(self) -> None:
        """Look after them no longer."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                # The files may have changed.
                self._trust = _trust(*self._files)
                await self._write()
            except (APIError, StoreError, OperatorError) as error:
                log.warning("writing what this server trusts: %s", error)

    async def _write(self) -> None:
        await self._ensure(NAMESPACE, AUTHENTICATION, lambda data: merged(data, self._trust))
        await self._ensure(TRACKING_NAMESPACE, TRACKING, _tracked)

    async def _ensure(self, namespace: str, name: str, change: Callable[[Data], Data]) -> None:
        resource = self._registry.scheme.resource("", "configmaps")
        if resource is None:
            return

        def mend(found: Object) -> Object | None:
            data = change(found.get("data") or {})
            return {**found, "data": data} if data != (found.get("data") or {}) else None

        try:
            await self._registry.guaranteed_update(resource, namespace, name, mend)
        except NotFound:
            made = {"metadata": {"name": name, "namespace": namespace}, "data": change({})}
            with contextlib.suppress(AlreadyExists):
                await self._registry.create(resource, made)


def merged(held: Data, trust: Data) -> Data:
    """What is held with what is trusted added."""
    made = dict(held)
    for key, value in trust.items():
        before = held.get(key, "")
        if not key.endswith("-file"):
            made[key] = json.dumps(_union(before, value))
        elif value.strip() not in before:
            made[key] = before + value
    return made


def _union(before: str, value: str) -> list[str]:
    try:
        known = [str(each) for each in json.loads(before or "[]") or ()]
    except ValueError:
        known = []
    return [*known, *(each for each in json.loads(value) if each not in known)]


def _tracked(data: Data) -> Data:
    try:
        datetime.strptime(data.get("since", ""), "%Y-%m-%d")
    except ValueError:
        return {**data, "since": clock.stamp()[:10]}
    return data


def _trust(client_ca: Path | None, proxy: FrontProxyOptions) -> Data:
    data: Data = {}
    if client_ca is not None:
        data["client-ca-file"] = _read("--client-ca-file", client_ca)
    if proxy.client_ca_file is not None:
        data[f"{_PREFIX}client-ca-file"] = _read("--requestheader-client-ca-file", proxy.client_ca_file)
        for name, values in (
            ("allowed-names", proxy.allowed_names),
            ("username-headers", proxy.username_headers),
            ("uid-headers", proxy.uid_headers),
            ("group-headers", proxy.group_headers),
            ("extra-headers-prefix", proxy.extra_headers_prefix),
        ):
            data[_PREFIX + name] = json.dumps(list(values))
    return data


def _read(flag: str, path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"can't read {flag} {path}: {error}") from error
