"""The life of custom kinds in a server: a CRD is accepted, established, served, changed, and taken down again.

Every server follows the CRDs and serves what is established; each may write conditions, and as all come to the same
answer it does not matter which is first.
Source: API reference, CustomResourceDefinition v1; Kubernetes documentation, "Extend the Kubernetes API with CRDs".
"""

from __future__ import annotations

import asyncio
import logging

from kybern.api.apiextensions.custom import CustomResource
from kybern.api.apiextensions.customresourcedefinition import FINALIZER, has_condition
from kybern.api.errors import APIError, NotFound
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver import crd_conditions
from kybern.apiserver.app import App
from kybern.apiserver.egress import ways_of
from kybern.apiserver.webhooks.calling import resolver_of
from kybern.apiserver.webhooks.client import Hooks
from kybern.apiserver.webhooks.conversion import ConversionMetrics, WebhookConversion
from kybern.process.clock import clock
from kybern.store.base import StoreError

log = logging.getLogger(__name__)

CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
RETRY_SECONDS = 1.0


class CustomKinds:
    """Follows the CRDs. Served kinds change as soon as the lister tells; what must be written is written by `run`."""

    def __init__(self, app: App) -> None:
        self._app, self._registry = app, app.registry
        resource = app.registry.scheme.resource(*CRDS)
        if resource is None:
            raise LookupError(f"the scheme has no {CRDS[1]}")
        self._resource = resource
        self._lister = app.registry.lister(*CRDS)
        self._hooks = Hooks(resolver_of(app), ways=ways_of(app))
        self._metrics = ConversionMetrics(app.telemetry.registry)
        self._waiting: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve what is established already, then go on."""
        await self._registry.started(self._resource)
        self._lister.on_change(self._on_change)
        self._task = asyncio.create_task(self._run(), name="custom-kinds")

    async def stop(self) -> None:
        """End the loop."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._hooks.close()

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._unserve(old)
        else:
            if has_condition(new, "Established"):
                self._serve(new)
            self._add(new["metadata"]["name"])
        # Names that the old one held may be free for another now.
        if old is not None and (new is None or new["spec"]["names"] != old["spec"]["names"]):
            for crd in self._lister.list():
                if crd["spec"]["group"] == old["spec"]["group"] and not has_condition(crd, "NamesAccepted"):
                    self._add(crd["metadata"]["name"])

    def _add(self, name: str) -> None:
        self._waiting[name] = None
        self._wake.set()

    def _serve(self, crd: Object) -> None:
        scheme, spec = self._registry.scheme, crd["spec"]
        names = {**spec["names"], **(crd.get("status") or {}).get("acceptedNames", {})}
        made = CustomResource({**crd, "spec": {**spec, "names": names}})
        conversion = spec.get("conversion") or {}
        webhook = conversion.get("webhook") if conversion.get("strategy") == "Webhook" else None
        for view in made.each():
            if "deletionTimestamp" in crd["metadata"]:
                view.verbs = tuple(verb for verb in made.verbs if verb != "create")
            if webhook is not None:
                view.converter = WebhookConversion(self._hooks, crd["metadata"]["name"], webhook, self._metrics)
        present = scheme.resource(made.group, made.plural)
        if present is None:
            scheme.add(made)
        elif isinstance(present, CustomResource):
            if made.definition != present.definition:
                self._registry.forget(present)
            elif made.verbs == present.verbs:
                return
            scheme.add(made)

    def _unserve(self, crd: Object) -> None:
        group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
        present = self._registry.scheme.resource(group, plural)
        if present is not None and present.custom:
            self._registry.scheme.remove(group, plural)
            self._registry.forget(present)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            names, self._waiting = list(self._waiting), {}
            for name in names:
                try:
                    await self._reconcile(name)
                except NotFound:
                    continue
                except (APIError, StoreError) as error:
                    log.warning("custom resource definition %s: %s", name, error)
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._add, name)

    async def _reconcile(self, name: str) -> None:
        crd = self._lister.get("", name)
        if crd is None:
            return
        if "deletionTimestamp" in crd["metadata"]:
            if FINALIZER in (crd["metadata"].get("finalizers") or ()):
                await self._take_down(crd)
            return
        others = [other for other in self._lister.list() if other["metadata"]["name"] != name]
        builtin = [kind for kind in self._registry.scheme if not kind.custom and kind.group == crd["spec"]["group"]]
        if crd_conditions.accepted(crd, others, builtin, clock.stamp()) is not None:
            await self._registry.guaranteed_update(
                self._resource, "", name, lambda now: crd_conditions.accepted(now, others, builtin, clock.stamp())
            )

    async def _take_down(self, crd: Object) -> None:
        """Delete the objects; when none is left, let the definition go."""
        name, spec = crd["metadata"]["name"], crd["spec"]
        kind = self._registry.scheme.resource(spec["group"], spec["names"]["plural"])
        if kind is not None and kind.custom:
            await self._registry.started(kind)
            progress = crd_conditions.terminating("CustomResource deletion is in progress")
            await self._registry.guaranteed_update(
                self._resource, "", name, lambda now: crd_conditions.with_condition(now, progress, clock.stamp())
            )
            if await self._delete_instances(kind):
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._add, name)
                return
        if any(finalizer != FINALIZER for finalizer in crd["metadata"]["finalizers"]):
            await self._registry.guaranteed_update(
                self._resource, "", name, lambda now: crd_conditions.terminated(now, FINALIZER, clock.stamp())
            )
        else:
            await self._registry.delete(self._resource, "", name, uid=crd["metadata"]["uid"])

    async def _delete_instances(self, kind: Resource) -> int:
        """Delete what has no finalizers, mark what has; how many are left."""
        found = self._registry.lister(kind.group, kind.plural).list()
        left = 0
        for obj in found:
            meta = obj["metadata"]
            namespace = meta.get("namespace", "")
            try:
                if not meta.get("finalizers"):
                    await self._registry.delete(kind, namespace, meta["name"], uid=meta["uid"])
                    continue
                left += 1
                if "deletionTimestamp" not in meta:
                    await self._registry.guaranteed_update(kind, namespace, meta["name"], _marked)
            except NotFound:
                continue
        return left


def _marked(obj: Object) -> Object | None:
    if "deletionTimestamp" in obj["metadata"]:
        return None
    deletion = {"deletionTimestamp": clock.stamp(), "deletionGracePeriodSeconds": 0}
    return {**obj, "metadata": {**obj["metadata"], **deletion}}
