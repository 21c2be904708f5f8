"""A load balancer for each Service of type LoadBalancer: made, kept pointing at the nodes, and deleted before its
Service goes.

`_known` holds what each balancer was last told; a key is worked on where that and the cluster differ.
Source: "Cloud Controller Manager", service controller; events and messages are upstream's.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from kybern.api.errors import APIError, NotFound
from kybern.api.types import Object, key_of
from kybern.client.workqueue import WorkQueue
from kybern.cloud import balancing
from kybern.cloud.balancing import FINALIZER
from kybern.cloud.controller import Context, Controller
from kybern.cloud.options import Options
from kybern.cloud.provider import CloudError, ImplementedElsewhere

log = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 5.0, 300.0
_NAMED = 20
"""Nodes named in a message; the rest are counted."""


@dataclass(slots=True)
class Known:
    """A balancer as it was told to be."""

    service: Object
    hosts: dict[str, str]
    done: bool = False
    """Whether the cloud did as it was told; if not, all is to be told again."""


class ServiceController(Controller):
    """The work queue's keys are Services."""

    name = "service-lb-controller"
    aliases = ("service",)
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert self.options.cloud.load_balancers is not None
        self._cloud = self.options.cloud.load_balancers
        self._cluster = self.options.cluster_name
        self.queue = WorkQueue(self.name, base_delay=_FIRST_RETRY, max_delay=_LAST_RETRY)
        self.services = self.informer("v1", "services")
        self.nodes = self.informer("v1", "nodes", namespaced=False)
        self._services = self.client.resource("v1", "services")
        self._recorder = context.recorder("service-controller")
        self._known: dict[str, Known] = {}
        self.services.on_change(self._service_changed)
        self.nodes.on_change(self._node_changed)

    @classmethod
    def wanted(cls, options: Options) -> bool:
        if options.cloud.load_balancers is None:
            log.warning("%s doesn't run: the cloud provider has no load balancers", cls.name)
        return options.cloud.load_balancers is not None

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        """What this controller itself writes must not wake it: a balancer that failed waits for its backoff."""
        found = balancing.change(old, new) if old and new else None
        if new and found and found[0]:
            self._recorder.event(new, "Normal", *found)
        service = new or old
        if service and (old is None or new is None or found or balancing.needs_cleanup(new)):
            self.queue.add(key_of(service))

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        """All balancers send to all nodes."""
        if balancing.moves(old, new):
            for key in self._known:
                self.queue.add(key)

    async def reconcile(self, key: str) -> float | None:
        service = self.services.get(key)
        known = self._known.get(key)
        if known and (service is None or service["metadata"]["uid"] != known.service["metadata"]["uid"]):
            await self._delete_left_behind(key, known.service)
            known = None
        if service is None:
            return None
        try:
            if not balancing.wants(service) or balancing.needs_cleanup(service):
                if known or balancing.needs_cleanup(service):
                    await self._clean_up(key, service)
            elif known is None or not known.done or balancing.change(known.service, service):
                await self._ensure(key, service)
            else:
                await self._update(key, known, service)
        except (CloudError, APIError) as error:
            said = f"Error syncing load balancer: {error}"
            self._recorder.event(service, "Warning", "SyncLoadBalancerFailed", said)
            cause = error if isinstance(error, CloudError) else None
            if cause and cause.retry_after is not None:
                log.warning("%s: %s", key, error)
                return cause.retry_after
            raise
        return None

    async def _ensure(self, key: str, service: Object) -> None:
        self._recorder.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
        # First, so that the Service can't go without its balancer.
        await self._write_finalizer(service, {"finalizers": [FINALIZER]}, wanted=True)
        nodes = self._nodes_for(service)
        known = self._known[key] = Known(service, balancing.hosts(nodes))
        try:
            status = await self._cloud.ensure(self._cluster, service, nodes)
        except ImplementedElsewhere:
            known.done = True
            return
        except CloudError as error:
            raise CloudError(f"failed to ensure load balancer: {error}", error.retry_after) from error
        self._recorder.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
        await self._write_status(service, status)
        known.done = True

    async def _update(self, key: str, known: Known, service: Object) -> None:
        """Point the balancer at the nodes of now."""
        nodes = balancing.eligible(self.nodes.list())
        if balancing.hosts(nodes) == known.hosts:
            return
        known.hosts = balancing.hosts(nodes)
        try:
            await self._cloud.update(self._cluster, service, self._nodes_for(service))
        except ImplementedElsewhere:
            return
        except CloudError as error:
            known.done = False
            if await self._cloud.get(self._cluster, service) is None:
                # Deleted behind our back: nothing to point, but it is to be made anew.
                self.queue.add(key)
                return
            said = (
                f"Error updating load balancer with new hosts {_named(nodes)} [node names limited, total number of "
                f"nodes: {len(nodes)}], error: {error}"
            )
            self._recorder.event(service, "Warning", "UpdateLoadBalancerFailed", said)
            log.warning("%s: %s", key, said)
            self.queue.add(key)
            return
        if nodes:
            said = "Updated load balancer with new hosts"
            self._recorder.event(service, "Normal", "UpdatedLoadBalancer", said)

    def _nodes_for(self, service: Object) -> list[Object]:
        nodes = balancing.eligible(self.nodes.list())
        if not nodes:
            said = "There are no available nodes for LoadBalancer"
            self._recorder.event(service, "Warning", "UnAvailableLoadBalancer", said)
        return nodes

    async def _clean_up(self, key: str, service: Object) -> None:
        """The Service wants no balancer any more, or is being deleted."""
        try:
            found = await self._cloud.get(self._cluster, service)
        except CloudError as error:
            raise CloudError(f"failed to check if load balancer exists before cleanup: {error}") from error
        if found is not None:
            self._recorder.event(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer")
            try:
                await self._cloud.delete(self._cluster, service)
            except ImplementedElsewhere:
                log.debug("%s: the load balancer is somebody else's", key)
            except CloudError as error:
                raise CloudError(f"failed to delete load balancer: {error}", error.retry_after) from error
        await self._write_finalizer(service, {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}, wanted=False)
        self._recorder.event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")
        await self._write_status(service, {})
        self._known.pop(key, None)

    async def _delete_left_behind(self, key: str, service: Object) -> None:
        """The Service went without waiting: somebody took its finalizer off."""
        if balancing.wants(service):
            self._recorder.event(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer")
            try:
                await self._cloud.delete(self._cluster, service)
            except CloudError as error:
                said = f"Error deleting load balancer: {error}"
                self._recorder.event(service, "Warning", "DeleteLoadBalancerFailed", said)
                raise
            self._recorder.event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")
        self._known.pop(key, None)

    async def _write_finalizer(self, service: Object, change: Object, *, wanted: bool) -> None:
        meta = service["metadata"]
        if (FINALIZER in (meta.get("finalizers") or ())) != wanted:
            # Through the status, which is all that the controller's role may write.
            await self._patch_status(meta, {"metadata": change})

    async def _write_status(self, service: Object, status: Object) -> None:
        wanted = status.get("ingress") or []
        if balancing.ingress((service.get("status") or {}).get("loadBalancer")) == balancing.ingress(status):
            return
        change = {"$patch": "replace", "ingress": wanted} if wanted else {"$patch": "replace"}
        try:
            await self._patch_status(service["metadata"], {"status": {"loadBalancer": change}})
        except NotFound:
            log.debug("%s went with its finalizer", key_of(service))

    async def _patch_status(self, meta: Object, body: Object) -> None:
        await self._services.patch(meta["name"], body, meta["namespace"], type="strategic", subresource="status")


def _named(nodes: list[Object]) -> str:
    """Node names as Go prints a list, the first of them."""
    names = sorted(node["metadata"]["name"] for node in nodes)
    left = len(names) - _NAMED
    return f"[{' '.join(names[:_NAMED] + ([f'<{left} more>'] if left > 0 else []))}]"
