"""ResourceQuotas: what their namespaces use, added up anew whenever something goes and every now and then.

Admission charges what is made; this gives back what was deleted, ended, or charged and never made. A kind is watched
once some quota counts it. Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from kybern.api import quantity
from kybern.api.quotas.amounts import equal, only, plus
from kybern.api.quotas.devices import extended_resources
from kybern.api.quotas.evaluator import Evaluator
from kybern.api.quotas.pods import is_extended_request
from kybern.api.quotas.registry import Evaluators
from kybern.api.types import Object, key_of
from kybern.client.informer import Informer
from kybern.controllers import discovery
from kybern.controllers.controller import Context, Controller, Failure, periodically
from kybern.controllers.discovery import Served
from kybern.controllers.garbagecollector import slim
from kybern.process.clock import monotonic

_LOOK_AGAIN = 30.0
"""Seconds until a kind that the server doesn't have is looked for again."""
_SYNC_SECONDS = 30.0
_SETTLE = 0.1
"""Seconds in which what was just charged comes to be seen."""
_AT_ONCE = 200
_NAMESPACE = "namespace"


class ResourceQuotaController(Controller):
    name = "resourcequota-controller"
    aliases = ("resourcequota",)
    workers = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.quotas = self.informer("v1", "resourcequotas")
        self.quotas.add_index(_NAMESPACE, _namespace)
        self.quotas.on_change(self._quota_changed)
        self._resource = self.client.resource("v1", "resourcequotas")
        self._served: dict[tuple[str, str], Served] = {}
        self._feeding: dict[tuple[str, str], Informer] = {}
        """What is watched, by group and plural."""
        self._counted: dict[Evaluator, Informer] = {}
        """What has told its changes to which evaluator."""
        self._evaluators = Evaluators(_Around(self._feeding))
        self._charged: dict[str, float] = {}
        """When more was last charged to a quota."""

    def background(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [periodically(self.options.resource_quota_sync_period, self._resync, self.name)]

    async def _resync(self) -> None:
        """Add everything up anew."""
        if self._feeding:
            await self._discover()
        for key in [*self.quotas.store]:
            self.queue.add(key)

    def _quota_changed(self, old: Object | None, new: Object | None) -> None:
        key = key_of(new or old or {})
        if new is None:
            self._charged.pop(key, None)
        # Status changes with every charge; only a change of what is wanted is news.
        elif old is None or old["spec"] != new["spec"]:
            self.queue.add(key)
        elif lower(_used(old), _used(new)):
            self._charged[key] = monotonic()

    # Watching what is counted.

    async def _discover(self) -> None:
        self._served = {(one.group, one.plural): one for one in await discovery.known(self.client)}
        for key in [key for key in self._feeding if key not in self._served]:
            gone = self._feeding.pop(key)
            if gone.resource.metadata_only:
                await self.context.informers.discard(gone)

    async def _informer_of(self, one: Evaluator) -> Informer | None:
        """The filled informer of a kind; None where the server doesn't have it. Raises APIError, Failure."""
        found = await self._watched(one.group, one.plural, whole=one.counts_updates)
        if found is not None and self._counted.get(one) is not found:
            self._counted[one] = found
            found.add_index(_NAMESPACE, _namespace)
            found.on_change(self._fed_by(one))
        return found

    async def _watched(self, group: str, plural: str, *, whole: bool) -> Informer | None:
        if (group, plural) not in self._served:
            await self._discover()
        kind = self._served.get((group, plural))
        if kind is None or not {"create", "delete", "list", "watch"} <= kind.verbs:
            return None
        factory, where = self.context.informers, (kind.api_version, kind.plural)
        found = factory.running(*where)
        if found is None and whole:
            found = factory.informer(*where, namespaced=kind.namespaced)
        if found is None:
            found = factory.informer(*where, namespaced=kind.namespaced, metadata_only=True, transform=slim)
        self._feeding[group, plural] = found
        try:
            async with asyncio.timeout(_SYNC_SECONDS):
                await found.synced()
        except TimeoutError:
            raise Failure(f"{kind} can't be listed, so nobody knows how many there are") from None
        return found

    def _fed_by(self, one: Evaluator) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            if old is None:
                return
            quotas = self.quotas.by_index(_NAMESPACE, old["metadata"].get("namespace", ""))
            if not quotas:
                return
            if new is not None and (not one.counts_updates or equal(one.usage(old), one.usage(new))):
                return
            for quota in quotas:
                if one.matching(quota["spec"].get("hard") or ()):
                    self.queue.add(key_of(quota))

        return changed

    # Adding up.

    async def reconcile(self, key: str) -> float | None:
        quota = self.quotas.get(key)
        if quota is None:
            return None
        hard = {name: quantity.canonical(value) for name, value in (quota["spec"].get("hard") or {}).items()}
        status = quota.get("status") or {}
        used = only(status.get("used") or {}, hard)
        unknown = False
        if any(map(is_extended_request, hard)):
            await self._watched("resource.k8s.io", "deviceclasses", whole=True)
        for one in self._evaluators.concerning(hard):
            informer = await self._informer_of(one)
            if informer is None:
                unknown = True
                continue
            objects = informer.by_index(_NAMESPACE, quota["metadata"]["namespace"])
            used |= await total(one, quota, one.matching(hard), objects)
        if lower(used, only(_used(quota), hard)) and self._unsettled(key):
            return _SETTLE
        changed = status.get("hard") is None or status.get("used") is None
        if changed or not equal(status["hard"], hard) or not equal(status["used"], used):
            await self._resource.update_status({**quota, "status": {"hard": hard, "used": used}})
        return _LOOK_AGAIN if unknown else None

    def _unsettled(self, key: str) -> bool:
        """Whether what was charged may not be seen yet: giving it back then would let the namespace overshoot. This
        comes to an end, as nothing can be charged once nothing is left."""
        return monotonic() - self._charged.get(key, 0.0) < _SETTLE


class _Around:
    """The device classes, pods and claims among what is watched."""

    def __init__(self, feeding: Mapping[tuple[str, str], Informer]) -> None:
        self._feeding = feeding

    def extended_resource(self, device_class: str) -> str:
        return self._mapping().get(device_class, "")

    def has_class(self, extended_resource: str) -> bool:
        return extended_resource in self._mapping().values()

    def pod(self, namespace: str, name: str) -> Object | None:
        pods = self._feeding.get(("", "pods"))
        return pods.get(f"{namespace}/{name}") if pods else None

    def claims(self, namespace: str) -> list[Object]:
        claims = self._feeding.get(("resource.k8s.io", "resourceclaims"))
        return claims.by_index(_NAMESPACE, namespace) if claims else []

    def _mapping(self) -> dict[str, str]:
        classes = self._feeding.get(("resource.k8s.io", "deviceclasses"))
        return extended_resources(classes.list()) if classes else {}


def _used(quota: Object) -> Mapping[str, str]:
    return (quota.get("status") or {}).get("used") or {}


def lower(amounts: Mapping[str, str], than: Mapping[str, str]) -> bool:
    """Whether there is less of anything."""
    return any(quantity.compare(amounts.get(name, "0"), value) < 0 for name, value in than.items())


async def total(one: Evaluator, quota: Object, names: list[str], objects: Iterable[Object]) -> dict[str, str]:
    """What the objects use of the named resources, as far as they are in the quota's scopes."""
    alike: Counter[tuple[tuple[str, str], ...]] = Counter()
    for index, obj in enumerate(objects):
        if index % _AT_ONCE == _AT_ONCE - 1:
            # Others want to work too.
            await asyncio.sleep(0)
        if one.in_scopes(quota, obj):
            alike[tuple(only(one.usage(obj), names).items())] += 1
    result = dict.fromkeys(names, "0")
    for usage, number in alike.items():
        result = plus(result, {name: quantity.times(amount, number) for name, amount in usage})
    return result


def _namespace(obj: Object) -> list[str]:
    return [obj["metadata"].get("namespace", "")]
