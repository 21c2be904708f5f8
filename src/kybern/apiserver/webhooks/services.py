"""Where a Service that a webhook or an APIService names is reached.

By its cluster address, or with --enable-aggregator-routing at one of its endpoints.
Source: API reference, ServiceReference v1 admissionregistration.k8s.io; kube-apiserver's flags.
"""

from __future__ import annotations

from kybern.api.errors import APIError, NotFound, ServiceUnavailable
from kybern.api.types import Object
from kybern.apiserver.registry import Lister, Registry
from kybern.process.clock import random

SLICE_OF = "kubernetes.io/service-name"
Address = tuple[str, int]


class ServiceResolver:
    """Finds Services. `own` is where this server itself is reached, which the Service `kubernetes` stands for."""

    def __init__(self, registry: Registry, *, by_endpoints: bool = False, own: Address | None = None) -> None:
        self._registry, self._by_endpoints, self._own = registry, by_endpoints, own

    async def resolve(self, namespace: str, name: str, port: int) -> Address:
        """Host and port to connect to. Raises NotFound, ServiceUnavailable, APIError."""
        if self._own and (namespace, name, port) == ("default", "kubernetes", 443):
            return self._own
        service = (await self._lister("", "services")).get(namespace, name)
        if service is None:
            raise NotFound(f'service "{name}" not found', details={"name": name, "kind": "service"})
        spec = service["spec"]
        kind = spec.get("type") or "ClusterIP"
        if kind == "ExternalName":
            if self._by_endpoints:
                raise APIError(f'unsupported service type "{kind}"')
            return spec.get("externalName", ""), port
        found = next((one for one in spec.get("ports") or () if one["port"] == port), None)
        if found is None:
            raise ServiceUnavailable(f'no service port {port} found for service "{name}"')
        if self._by_endpoints:
            return random.choice(await self.endpoints(namespace, name, found.get("name", "")))
        if spec.get("clusterIP") in (None, "", "None"):
            raise APIError('cannot route to service with ClusterIP "None"')
        return spec["clusterIP"], port

    async def endpoints(self, namespace: str, name: str, port: str) -> list[Address]:
        """The ready endpoints of a Service's port. Raises ServiceUnavailable if there is none."""
        found = [
            (address, each["port"])
            for one in slices_of((await self._lister("discovery.k8s.io", "endpointslices")), namespace, name)
            for each in one.get("ports") or ()
            if (each.get("name") or "") == port and each.get("port")
            for endpoint in one.get("endpoints") or ()
            if is_ready(endpoint)
            for address in endpoint["addresses"]
        ]
        if not found:
            raise ServiceUnavailable(f'no endpoints available for service "{name}"')
        return found

    async def _lister(self, group: str, plural: str) -> Lister:
        resource = self._registry.scheme.resource(group, plural)
        if resource is None:
            raise ServiceUnavailable(f"{plural} are not served here")
        await self._registry.started(resource)
        return self._registry.lister(group, plural)


def slices_of(lister: Lister, namespace: str, name: str) -> list[Object]:
    """The EndpointSlices of a Service."""
    found = lister.list(namespace)
    return [one for one in found if (one["metadata"].get("labels") or {}).get(SLICE_OF) == name]


def is_ready(endpoint: Object) -> bool:
    """Whether an endpoint takes requests; one that doesn't say does."""
    ready = (endpoint.get("conditions") or {}).get("ready")
    return ready is None or bool(ready)
