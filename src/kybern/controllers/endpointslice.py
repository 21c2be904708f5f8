"""EndpointSlices: the addresses behind a Service, in pieces small enough to change cheaply.

How they are packed is decided in endpointslice_packing.py.
Source: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from kybern.api.errors import APIError, Conflict, Forbidden, NotFound
from kybern.api.types import Object, key_of
from kybern.controllers import pods, services
from kybern.controllers.controller import Context, Controller
from kybern.controllers.endpointslice_packing import Plan, PortKey, pack, port_key
from kybern.controllers.owners import controller_reference, controller_uid, is_deleting
from kybern.controllers.serviceaccount import is_ending

_SERVICE_NAME = "kubernetes.io/service-name"
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_MANAGER = "endpointslice-controller.k8s.io"
_ZONE = "topology.kubernetes.io/zone"
_LOOK_AGAIN = 1.0


class EndpointSliceController(Controller):
    name = "endpointslice-controller"
    aliases = ("endpointslice",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.services = self.informer("v1", "services")
        self.services.add_index("namespace", lambda obj: [obj["metadata"]["namespace"]])
        self.pods = pods.index(self.informer("v1", "pods"))
        self.nodes = self.informer("v1", "nodes", namespaced=False)
        self.slices = self.informer("discovery.k8s.io/v1", "endpointslices")
        self.slices.add_index("service", _service_of)
        self._slices = self.client.resource("discovery.k8s.io/v1", "endpointslices")
        self._recorder = context.recorder("endpoint-slice-controller")
        self._written: dict[str, dict[str, str]] = {}
        self.watch(self.services, lambda obj: [key_of(obj)])
        self.watch(self.slices, _service_of)
        self.pods.on_change(self._pod_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if services.matters(old, new):
            for pod in filter(None, (old, new)):
                for key in services.selected_by(self.services, pod):
                    self.queue.add(key)

    async def reconcile(self, key: str) -> float | None:
        service = self.services.get(key)
        if service is None:
            self._written.pop(key, None)
            return None
        spec = service["spec"]
        if not spec.get("selector") or spec.get("type") == "ExternalName" or is_deleting(service):
            return None
        existing = [one for one in self.slices.by_index("service", key) if not is_deleting(one)]
        # Those of an earlier Service of this name are the garbage collector's, and must not be built upon.
        foreign = [one for one in existing if controller_uid(one) != service["metadata"]["uid"]]
        existing = [one for one in existing if one not in foreign]
        self._check_fresh(key)
        chosen = services.selected(service, self.pods)
        plan = Plan()
        for family in services.families(service):
            held = [one for one in existing if one["addressType"] == family]
            part = self._plan(service, chosen, family, held)
            plan.create += part.create
            plan.update += part.update
            plan.delete += part.delete
        plan.delete += [one for one in existing if one["addressType"] not in services.families(service)] + foreign
        await self._carry_out(service, plan)
        return None if all(self._is_placed(service, pod) for pod in chosen) else _LOOK_AGAIN

    def _is_placed(self, service: Object, pod: Object) -> bool:
        """Whether the pod's node is known; one that names a node that isn't there is no endpoint, unless all are."""
        node = pod["spec"].get("nodeName", "")
        return node in self.nodes.store or not node or bool(service["spec"].get("publishNotReadyAddresses"))

    def _plan(self, service: Object, chosen: list[Object], family: str, existing: list[Object]) -> Plan:
        wanted: dict[PortKey, list[Object]] = {}
        for pod in chosen:
            address = services.address_of(pod, family)
            ports = slice_ports(service, pod)
            if address and services.belongs(pod, terminating=True) and self._is_placed(service, pod):
                node = self.nodes.get(pod["spec"].get("nodeName", ""))
                wanted.setdefault(port_key(ports), []).append(endpoint(service, pod, address, node))
        stamp = services.trigger_time(service, chosen)
        labels = services.inherited_labels(service, {_SERVICE_NAME: service["metadata"]["name"], _MANAGED_BY: _MANAGER})

        def refresh(one: Object) -> Object:
            if one["metadata"].get("labels") == labels:
                return one
            return {**one, "endpoints": one.get("endpoints") or [], "metadata": {**one["metadata"], "labels": labels}}

        def new_slice() -> Object:
            return _empty(service, family, labels)

        plan = pack(existing, wanted, new_slice, refresh, self.options.max_endpoints_per_slice)
        plan.create = [_stamped(one, stamp) for one in plan.create]
        plan.update = [_stamped(one, stamp) for one in plan.update]
        return plan

    async def _carry_out(self, service: Object, plan: Plan) -> None:
        """Write all of it; raises the first error, after everything was tried."""
        key = key_of(service)
        written = self._written.setdefault(key, {})

        async def create(one: Object) -> None:
            made = await self._slices.create(one)
            written[key_of(made)] = made["metadata"]["resourceVersion"]

        async def update(one: Object) -> None:
            made = await self._slices.update(one)
            written[key_of(made)] = made["metadata"]["resourceVersion"]

        async def delete(one: Object) -> None:
            await self._slices.delete(one["metadata"]["name"], one["metadata"]["namespace"])

        acts: list[Coroutine[Any, Any, None]] = [
            *map(create, plan.create),
            *map(update, plan.update),
            *map(delete, plan.delete),
        ]
        for result in await asyncio.gather(*acts, return_exceptions=True):
            if isinstance(result, NotFound):
                continue
            if isinstance(result, Forbidden) and is_ending(result):
                continue
            if isinstance(result, APIError) and not isinstance(result, Conflict):
                said = f"Error updating Endpoint Slices for Service {key}: {result}"
                self._recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", said)
            if isinstance(result, BaseException):
                raise result

    def _check_fresh(self, key: str) -> None:
        """Raises Conflict while the cache doesn't show what was last written: else endpoints would be placed twice."""
        written = self._written.get(key, {})
        for name, version in list(written.items()):
            held = self.slices.get(name)
            # A slice that somebody deleted meanwhile won't be seen again; then the cache's own age decides.
            seen = held["metadata"]["resourceVersion"] if held else self.slices.resource_version or "0"
            if int(seen) < int(version):
                raise Conflict(f"EndpointSlice {name} is not yet seen as written")
            del written[name]


def slice_ports(service: Object, pod: Object) -> list[Object]:
    """The ports of an endpoint. A pod that serves none of those asked for is an endpoint all the same, without ports:
    it has a name where the Service is headless."""
    ports = []
    for port in service["spec"].get("ports") or []:
        number = services.target_port(port, pod)
        if number is None:
            continue
        made = {"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")}
        if port.get("appProtocol"):
            made["appProtocol"] = port["appProtocol"]
        ports.append(made)
    return ports


def endpoint(service: Object, pod: Object, address: str, node: Object | None) -> Object:
    """A pod as an endpoint."""
    terminating = is_deleting(pod)
    serving = pods.is_ready(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    made: Object = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": services.pod_reference(pod),
    }
    if name := services.hostname(service, pod):
        made["hostname"] = name
    if node_name := pod["spec"].get("nodeName"):
        made["nodeName"] = node_name
    zone = ((node or {"metadata": {}})["metadata"].get("labels") or {}).get(_ZONE)
    if zone:
        made["zone"] = zone
    hints = _hints(service, made)
    if ready and hints:
        made["hints"] = hints
    return made


def _hints(service: Object, made: Object) -> Object:
    """Whom the endpoint is for: its own zone or node, if the Service prefers what is near."""
    near = service["spec"].get("trafficDistribution", "")
    hints: Object = {}
    if near in ("PreferClose", "PreferSameZone", "PreferSameNode") and made.get("zone"):
        hints["forZones"] = [{"name": made["zone"]}]
    if near == "PreferSameNode" and made.get("nodeName"):
        hints["forNodes"] = [{"name": made["nodeName"]}]
    return hints


def _service_of(one: Object) -> Iterable[str]:
    """The key of the Service that a slice of ours belongs to."""
    labels = one["metadata"].get("labels") or {}
    if labels.get(_MANAGED_BY) != _MANAGER or not labels.get(_SERVICE_NAME):
        return []
    return [f"{one['metadata']['namespace']}/{labels[_SERVICE_NAME]}"]


def _empty(service: Object, family: str, labels: dict[str, str]) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{service['metadata']['name']}-",
            "namespace": service["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [controller_reference(service)],
        },
        "addressType": family,
        "endpoints": [],
        "ports": [],
    }


def _stamped(one: Object, stamp: str) -> Object:
    annotations = {**(one["metadata"].get("annotations") or {}), services.LAST_CHANGE: stamp}
    return {**one, "metadata": {**one["metadata"], "annotations": annotations}}
