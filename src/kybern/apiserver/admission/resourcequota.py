"""ResourceQuota: what a namespace may use is charged before it is used, so that no write can overshoot.

Writes of a namespace are charged in batches, one at a time; a quota's status is written under its revision, so two
servers never charge the same unit twice. What is charged and then isn't used the quota controller gives back.
Source: Kubernetes documentation, "Resource Quotas".
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from kybern.api.errors import Conflict, InternalError
from kybern.api.quotas.amounts import Amounts
from kybern.api.quotas.charging import Limited, Refused, Write, charge
from kybern.api.quotas.devices import extended_resources
from kybern.api.quotas.registry import IGNORED, Evaluators
from kybern.api.types import Object
from kybern.apiserver.admission import config
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.admission.known import Known
from kybern.apiserver.app import App
from kybern.apiserver.codec import decode
from kybern.apiserver.registry import Registry
from kybern.apiserver.watch_cache import Item
from kybern.process.daemon import OperatorError
from kybern.store.base import Mismatch

ATTEMPTS = 10
"""How often a batch is charged anew because another server charged in between."""
SECONDS = 10.0
"""How long a write waits for its charge."""
_QUOTAS = ("", "resourcequotas")
_DRA = "resource.k8s.io"
_KINDS = {
    "ResourceQuotaConfiguration": ("apiserver.config.k8s.io/v1",),
    "Configuration": ("resourcequota.admission.k8s.io/v1beta1", "resourcequota.admission.k8s.io/v1alpha1"),
}


class _Waiting(NamedTuple):
    write: Write
    attributes: Attributes
    charged: asyncio.Future[None]


class ResourceQuota(Plugin):
    """Looks at every namespaced write where there is a quota, or where the configuration demands one."""

    name = "ResourceQuota"
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._registry = app.registry
        resource = app.registry.scheme.resource(*_QUOTAS)
        assert resource is not None
        self._resource = resource
        self._quotas = app.registry.lister(*_QUOTAS)
        self._evaluators = Evaluators(_Around(app.registry))
        self._limited = _limited(app)
        self._known = Known(self._quotas, lambda: self.reconsider())
        self._waiting: dict[str, list[_Waiting]] = {}
        self._working: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        await self._registry.started(self._resource)

    def concerned(self, operation: str, group: str, plural: str) -> bool:
        """Where no quota is, nothing is to do; updates of most kinds use nothing up."""
        return (
            (bool(self._limited) or bool(self._known))
            and (group, plural) not in IGNORED
            and (operation == CREATE or (operation == UPDATE and self._evaluators.of(group, plural).counts_updates))
        )

    async def validate(self, a: Attributes) -> None:
        if not a.namespace or a.object is None or not a.resource.namespaced:
            return
        if not self._limited and not self._quotas.list(a.namespace):
            return
        one = self._evaluators.of(a.resource.group, a.resource.plural)
        if not one.handles(a.operation, a.subresource, a.object, a.old):
            return
        charged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        write = Write(one, a.operation, a.subresource, a.object, a.old)
        self._waiting.setdefault(a.namespace, []).append(_Waiting(write, a, charged))
        if a.namespace not in self._working:
            self._working[a.namespace] = asyncio.create_task(self._work(a.namespace))
        try:
            async with asyncio.timeout(SECONDS):
                await charged
        except TimeoutError:
            raise InternalError("Internal error occurred: resource quota evaluation timed out") from None

    async def _work(self, namespace: str) -> None:
        """Charge what waits in a namespace until nothing does."""
        batch: list[_Waiting] = []
        try:
            while batch := self._waiting.pop(namespace, []):
                await self._charge(namespace, batch)
        except Exception as error:
            for one in [*batch, *self._waiting.pop(namespace, [])]:
                _fail(one, error)
        finally:
            del self._working[namespace]

    async def _charge(self, namespace: str, batch: list[_Waiting]) -> None:
        """Charge those that fit. Those that touch no quota that another server wrote meanwhile are done at once."""
        cache = await self._registry.ready(self._resource)
        lost: set[str] | None = None
        for _ in range(ATTEMPTS):
            held = {item.key: (item, decode(item.value, item.revision)) for item in cache.select(namespace)}
            if lost is not None:
                held = {key: one for key, one in held.items() if key in lost}
            batch, new = self._fitting(batch, [quota for _, quota in held.values()])
            lost = set()
            for item, quota in held.values():
                name = quota["metadata"]["name"]
                if name in new and not await self._write(item, quota, new[name]):
                    lost.add(item.key)
            if not lost:
                break
            await cache.fresh()
        for one in batch:
            if lost:
                _fail(one, Conflict.stale("resourcequotas", "", min(lost).rpartition("/")[2]))
            elif not one.charged.done():
                one.charged.set_result(None)

    def _fitting(self, batch: list[_Waiting], quotas: list[Object]) -> tuple[list[_Waiting], dict[str, Amounts]]:
        """Those whose charges must be written before they may go on, and what is used of which quota with them."""
        used: dict[str, Amounts] = {
            quota["metadata"]["name"]: (quota.get("status") or {}).get("used") or {} for quota in quotas
        }
        new: dict[str, Amounts] = {}
        held: list[_Waiting] = []
        for one in batch:
            try:
                changed = charge(one.write, quotas, used, self._limited)
            except Refused as refusal:
                _fail(one, one.attributes.forbidden(str(refusal)))
                continue
            if not changed or one.attributes.dry_run:
                if not one.charged.done():
                    one.charged.set_result(None)
                continue
            # Who has gone away while waiting is not charged for.
            if not one.charged.done():
                used |= changed
                new |= changed
                held.append(one)
        return held, new

    async def _write(self, item: Item, quota: Object, used: Amounts) -> bool:
        """Write what is used of a quota, if it is still as it was."""
        changed = {**quota, "status": {**quota["status"], "used": dict(used)}}
        try:
            await self._registry.replace(self._resource, item, changed)
        except Mismatch:
            return False
        return True


class _Around:
    """The device classes, pods and claims that the server knows."""

    def __init__(self, registry: Registry) -> None:
        self._classes = registry.lister(_DRA, "deviceclasses")
        self._claims = registry.lister(_DRA, "resourceclaims")
        self._pods = registry.lister("", "pods")
        self._names: dict[str, str] = {}
        self._version = -1

    def extended_resource(self, device_class: str) -> str:
        return self._mapping().get(device_class, "")

    def has_class(self, extended_resource: str) -> bool:
        return extended_resource in self._mapping().values()

    def pod(self, namespace: str, name: str) -> Object | None:
        return self._pods.get(namespace, name)

    def claims(self, namespace: str) -> list[Object]:
        return self._claims.list(namespace)

    def _mapping(self) -> dict[str, str]:
        if self._version != self._classes.version:
            self._version = self._classes.version
            self._names = extended_resources(self._classes.list())
        return self._names


def _fail(one: _Waiting, error: Exception) -> None:
    if not one.charged.done():
        one.charged.set_exception(error)


def _limited(app: App) -> list[Limited]:
    found = config.of(app, ResourceQuota.name)
    if found is None:
        return []
    kind = str(found.get("kind"))
    if found.get("apiVersion") not in _KINDS.get(kind, ()):
        raise OperatorError(
            f"the configuration of ResourceQuota is {kind} in {found.get('apiVersion')}, but must be "
            "ResourceQuotaConfiguration in apiserver.config.k8s.io/v1"
        )
    limited = found.get("limitedResources") or []
    for number, one in enumerate(limited):
        if not isinstance(one, dict) or not one.get("resource"):
            raise OperatorError(f"the configuration of ResourceQuota: limitedResources[{number}].resource is required")
    return [
        Limited(
            one.get("apiGroup") or "", one["resource"], one.get("matchContains") or (), one.get("matchScopes") or ()
        )
        for one in limited
    ]
