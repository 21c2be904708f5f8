"""What every cluster has from its first moment: namespaces, priority classes, the bootstrap policy, and the Service
`kubernetes` with this server as its endpoint. What is there already is only mended, so later starts write nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable, Sequence

from kybern.api.errors import AlreadyExists, APIError, NotFound
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver import bootstrap_flowcontrol, bootstrap_rbac
from kybern.apiserver.app import App
from kybern.apiserver.services.addresses import ip_address
from kybern.store.base import StoreError

log = logging.getLogger(__name__)

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SERVICE = "kubernetes"
EVERY_SECONDS = 10.0
"""How often it is looked whether the namespaces and the Service are there."""

Mend = Callable[[Object, Object], Object | None]
"""(what is there, what is wanted) -> what it should become, or None where it is well."""


class Bootstrap:
    """Runs once at start."""

    def __init__(
        self, app: App, address: str, port: int, service_addresses: Sequence[str], *, alone: bool = True,
        lists_itself: bool = True,
    ) -> None:  # fmt: skip
        """`alone`: whether no other server shares the store; `lists_itself`: whether the endpoints of the Service
        `kubernetes` are kept (--endpoint-reconciler-type=none leaves them to others)."""
        self._app, self._registry = app, app.registry
        self._address, self._port = address, port
        self._service_addresses = list(service_addresses)
        self._alone, self._lists_itself = alone, lists_itself
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Make or mend everything. Raises StoreUnavailable and what else a write may raise."""
        await self._ensure("", "namespaces", map(namespace, NAMESPACES), None)
        await asyncio.gather(
            self._ensure("scheduling.k8s.io", "priorityclasses", priority_classes(), None),
            self._service(),
            bootstrap_rbac.ensure(self._ensure),
            self.maintain(),
        )

    def keep(self) -> None:
        """See to it from now on that the namespaces and the Service stay."""
        self._task = asyncio.create_task(self._keep(), name="bootstrap")

    async def stop(self) -> None:
        """End that."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self._ensure("", "namespaces", map(namespace, NAMESPACES), None)
                await self._service()
            except (APIError, StoreError) as error:
                log.info("the namespaces and the Service of every cluster are not kept: %s", error)

    async def maintain(self) -> None:
        """See that flow schemas and priority levels are as they should be; called now and then."""
        await bootstrap_flowcontrol.ensure(self._ensure)

    async def _ensure(self, group: str, plural: str, wanted: Iterable[Object], mend: Mend | None) -> None:
        """Create what is missing, all at once so that the writes share commits; mend what is there."""
        resource = self._registry.scheme.resource(group, plural)
        if resource is None:
            return
        await self._registry.started(resource)
        lister = self._registry.lister(group, plural)
        work = []
        for obj in wanted:
            meta = obj["metadata"]
            found = lister.get(meta.get("namespace", ""), meta["name"])
            if found is None:
                work.append(self._create(resource, obj))
            elif mend is not None and mend(found, obj) is not None:
                work.append(self._mend(resource, obj, mend))
        await asyncio.gather(*work)

    async def _create(self, resource: Resource, obj: Object) -> None:
        try:
            await self._registry.create(resource, obj)
        except AlreadyExists:
            log.debug("%s %s was made by another server", resource.kind, obj["metadata"]["name"])

    async def _mend(self, resource: Resource, obj: Object, mend: Mend) -> None:
        meta = obj["metadata"]
        try:
            await self._registry.guaranteed_update(
                resource, meta.get("namespace", ""), meta["name"], lambda found: mend(found, obj)
            )
        except NotFound:
            await self._create(resource, obj)

    async def _service(self) -> None:
        wanted = service(self._service_addresses, self._port)
        if self._registry.lister("", "services").get("default", SERVICE) is None:
            address = ip_address(wanted["spec"]["clusterIP"], wanted)
            await self._ensure("networking.k8s.io", "ipaddresses", [address], None)
        await self._ensure("", "services", [wanted], None)
        if not self._lists_itself:
            return
        # Where there are several servers, presence.py has the endpoints follow who is there.
        mends = [replace("subsets"), replace("endpoints", "ports", "addressType")] if self._alone else [None, None]
        await self._ensure("", "endpoints", [endpoints([self._address], self._port)], mends[0])
        slices = [endpoint_slice([self._address], self._port)]
        await self._ensure("discovery.k8s.io", "endpointslices", slices, mends[1])


def replace(*fields: str) -> Mend:
    """Make these fields what is wanted."""

    def mend(found: Object, wanted: Object) -> Object | None:
        if all(found.get(field) == wanted.get(field) for field in fields):
            return None
        return {**found, **{field: wanted.get(field) for field in fields}}

    return mend


def namespace(name: str) -> Object:
    """A namespace that is ready for use."""
    return {
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def priority_classes() -> list[Object]:
    """The two classes of what a cluster can't do without."""
    texts = (
        ("system-cluster-critical", 2_000_000_000, "but can be moved to another node if necessary"),
        ("system-node-critical", 2_000_001_000, "and must not be moved from their node"),
    )
    return [
        {
            "kind": "PriorityClass",
            "apiVersion": "scheduling.k8s.io/v1",
            "metadata": {"name": name, "generation": 1},
            "value": value,
            "description": f"Used for system critical pods that must run in the cluster, {text}.",
            "preemptionPolicy": "PreemptLowerPriority",
        }
        for name, value, text in texts
    ]


def service(addresses: Sequence[str], port: int) -> Object:
    """The Service by which pods reach this server."""
    families = [f"IPv{ipaddress.ip_address(address).version}" for address in addresses[:1]]
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {
            "name": SERVICE,
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": port}],
            "clusterIP": addresses[0],
            "clusterIPs": [addresses[0]],
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ipFamilies": families,
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    }


def endpoints(addresses: Sequence[str], port: int) -> Object:
    """Where the servers are."""
    return {
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": {
            "name": SERVICE,
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {
                "addresses": [{"ip": address} for address in addresses],
                "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            },
        ],
    }


def endpoint_slice(addresses: Sequence[str], port: int) -> Object:
    """The same for those who read slices."""
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": SERVICE,
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": SERVICE},
            "generation": 1,
        },
        "addressType": f"IPv{ipaddress.ip_address(addresses[0]).version}",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"name": "https", "protocol": "TCP", "port": port}],
    }
