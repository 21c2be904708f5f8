"""EndpointSlices for Endpoints that were made by hand, so that who reads only slices sees them.

Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#endpointslice-mirroring
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from kybern.api.errors import NotFound
from kybern.api.types import Object, key_of
from kybern.controllers import services
from kybern.controllers.controller import Context, Controller
from kybern.controllers.endpointslice_packing import PortKey, pack, port_key
from kybern.controllers.owners import controller_reference

_SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_SERVICE_NAME = "kubernetes.io/service-name"
_MANAGER = "endpointslicemirroring-controller.k8s.io"
_NOT_COPIED = (services.LAST_CHANGE, "kubectl.kubernetes.io/last-applied-configuration")
_PER_SUBSET = 1000


class EndpointSliceMirroringController(Controller):
    name = "endpointslice-mirroring-controller"
    aliases = ("endpointslicemirroring",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.endpoints = self.informer("v1", "endpoints")
        self.services = self.informer("v1", "services")
        self.slices = self.informer("discovery.k8s.io/v1", "endpointslices")
        self.slices.add_index("mirrored", _mirrored)
        self._slices = self.client.resource("discovery.k8s.io/v1", "endpointslices")
        self._recorder = context.recorder("endpoint-slice-mirroring-controller")
        self.watch(self.endpoints, lambda obj: [key_of(obj)])
        self.watch(self.services, lambda obj: [key_of(obj)])
        self.watch(self.slices, _mirrored)

    async def reconcile(self, key: str) -> float | None:
        endpoints, service = self.endpoints.get(key), self.services.get(key)
        existing = self.slices.by_index("mirrored", key)
        if endpoints is None or service is None or not _is_mirrored(endpoints, service):
            for one in existing:
                await self._delete(one)
            return None
        self._complain(endpoints)
        for family in ("IPv4", "IPv6"):
            held = [one for one in existing if one["addressType"] == family]
            wanted = mirrored_endpoints(endpoints, family)
            if wanted:
                await self._write(endpoints, family, held, wanted)
            else:
                for one in held:
                    await self._delete(one)
        return None

    def _complain(self, endpoints: Object) -> None:
        for subset in endpoints.get("subsets") or ():
            count = len(subset.get("addresses") or ()) + len(subset.get("notReadyAddresses") or ())
            if count > _PER_SUBSET:
                said = (
                    f"A max of {_PER_SUBSET} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                    f"{count - _PER_SUBSET} addresses were skipped"
                )
                self._recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", said)

    async def _write(
        self, endpoints: Object, family: str, held: list[Object], wanted: dict[PortKey, list[Object]]
    ) -> None:
        meta = endpoints["metadata"]
        own = {_SERVICE_NAME: meta["name"], _MANAGED_BY: _MANAGER}
        labels = {**(meta.get("labels") or {}), **own}
        given = meta.get("annotations") or {}
        annotations = {name: value for name, value in given.items() if name not in _NOT_COPIED}

        def new_slice() -> Object:
            return {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "generateName": f"{meta['name']}-",
                    "namespace": meta["namespace"],
                    "labels": labels,
                    "annotations": annotations,
                    "ownerReferences": [controller_reference(endpoints)],
                },
                "addressType": family,
                "endpoints": [],
                "ports": [],
            }

        def refresh(one: Object) -> Object:
            held = one["metadata"]
            if held.get("labels") == labels and (held.get("annotations") or {}) == annotations:
                return one
            return {**one, "metadata": {**held, "labels": labels, "annotations": annotations}}

        plan = pack(held, wanted, new_slice, refresh, _PER_SUBSET)
        for one in plan.create:
            await self._slices.create(one)
        for one in plan.update:
            await self._slices.update(one)
        for one in plan.delete:
            await self._delete(one)

    async def _delete(self, one: Object) -> None:
        try:
            await self._slices.delete(one["metadata"]["name"], one["metadata"]["namespace"])
        except NotFound:
            return


def mirrored_endpoints(endpoints: Object, family: str) -> dict[PortKey, list[Object]]:
    """The endpoints of one address family, by their ports."""
    found: dict[PortKey, list[Object]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = [{"name": port.get("name", ""), **port} for port in subset.get("ports") or ()]
        both = (("addresses", True), ("notReadyAddresses", False))
        every = ((address, ready) for field, ready in both for address in subset.get(field) or ())
        made = [
            _endpoint(address, ready=ready)
            for address, ready in itertools.islice(every, _PER_SUBSET)
            if services.family(address["ip"]) == family
        ]
        if made:
            found.setdefault(port_key(ports), []).extend(made)
    return found


def _endpoint(address: Object, *, ready: bool) -> Object:
    made: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for name in ("hostname", "nodeName", "targetRef"):
        if address.get(name):
            made[name] = address[name]
    return made


def _is_mirrored(endpoints: Object, service: Object) -> bool:
    meta = endpoints["metadata"]
    skipped = (meta.get("labels") or {}).get(_SKIP) == "true" or _LEADER in (meta.get("annotations") or {})
    return not skipped and not service["spec"].get("selector")


def _mirrored(one: Object) -> Iterable[str]:
    labels = one["metadata"].get("labels") or {}
    if labels.get(_MANAGED_BY) != _MANAGER or not labels.get(_SERVICE_NAME):
        return []
    return [f"{one['metadata']['namespace']}/{labels[_SERVICE_NAME]}"]
