"""Endpoints: the old form of a Service's addresses, at most 1000 of them.

Source: API reference, Endpoints v1 core.
"""

from __future__ import annotations

import math

from kybern.api.core.endpointsubsets import repacked
from kybern.api.errors import AlreadyExists, Forbidden, NotFound
from kybern.api.types import Object, key_of, split_key
from kybern.controllers import pods, services
from kybern.controllers.controller import Context, Controller
from kybern.controllers.serviceaccount import is_ending

_CAPACITY = 1000
_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_MANAGED = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}

Port = tuple[str, int, str, str]
"""(name, number, protocol, application protocol)"""
Hosts = dict[tuple[str, str], tuple[Object, bool]]
"""(address, pod's uid) -> the EndpointAddress, whether it is ready."""


class EndpointsController(Controller):
    name = "endpoints-controller"
    aliases = ("endpoint",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.services = self.informer("v1", "services")
        self.services.add_index("namespace", lambda obj: [obj["metadata"]["namespace"]])
        self.pods = pods.index(self.informer("v1", "pods"))
        self.endpoints = self.informer("v1", "endpoints")
        self._endpoints = self.client.resource("v1", "endpoints")
        self._recorder = context.recorder("endpoint-controller")
        self._bereft: set[str] = set()
        self.services.on_change(self._service_changed)
        self.watch(self.endpoints, lambda obj: [key_of(obj)])
        self.pods.on_change(self._pod_changed)

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        service = new or old
        assert service is not None
        if new is None:
            self._bereft.add(key_of(service))
        self.queue.add(key_of(service))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if services.matters(old, new):
            for pod in filter(None, (old, new)):
                for key in services.selected_by(self.services, pod):
                    self.queue.add(key)

    async def reconcile(self, key: str) -> float | None:
        service = self.services.get(key)
        held = self.endpoints.get(key)
        if service is None:
            # With a Service go its Endpoints, whoever made them.
            if held is not None and (key in self._bereft or not _is_hand_made(held)):
                await self._delete(key)
            self._bereft.discard(key)
            return None
        self._bereft.discard(key)
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return None
        chosen = services.selected(service, self.pods)
        wanted = desired(service, chosen)
        if held is not None and _same(held, wanted):
            return None
        stamp = services.trigger_time(service, chosen)
        wanted["metadata"].setdefault("annotations", {})[services.LAST_CHANGE] = stamp
        await self._write(service, held, wanted)
        return None

    async def _write(self, service: Object, held: Object | None, wanted: Object) -> None:
        try:
            if held is None:
                await self._endpoints.create(wanted)
            else:
                kept = (held["metadata"].get("annotations") or {}).items()
                others = {name: value for name, value in kept if name != _OVER_CAPACITY}
                meta = {**held["metadata"], "labels": wanted["metadata"]["labels"]}
                meta["annotations"] = {**others, **wanted["metadata"]["annotations"]}
                await self._endpoints.update({**wanted, "metadata": meta})
        except (AlreadyExists, NotFound):
            self.queue.add_rate_limited(key_of(service))
        except Forbidden as error:
            if is_ending(error):
                return
            name = service["metadata"]["name"]
            said = f"Failed to {'create' if held is None else 'update'} endpoint {key_of(service)}: {error}"
            self._recorder.event(service, "Warning", f"FailedTo{'Create' if held is None else 'Update'}Endpoint", said)
            raise Forbidden(f"endpoints {name}: {error}") from error

    async def _delete(self, key: str) -> None:
        namespace, name = split_key(key)
        try:
            await self._endpoints.delete(name, namespace)
        except NotFound:
            return


def desired(service: Object, chosen: list[Object]) -> Object:
    """The Endpoints of a Service with these pods."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    family = services.families(service)[0]
    offers: dict[Port | None, Hosts] = {}
    for pod in sorted(chosen, key=key_of):
        address = services.address_of(pod, family)
        if not address or not services.belongs(pod, terminating=publish):
            continue
        host = (_address(service, pod, address), publish or pods.is_ready(pod))
        for port in _ports(service, pod):
            offers.setdefault(port, {})[address, pod["metadata"]["uid"]] = host
    subsets, over = truncated(repacked([_subset(port, hosts) for port, hosts in offers.items()]))
    meta: Object = {"name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"]}
    meta["labels"] = services.inherited_labels(service, _MANAGED)
    if over:
        meta["annotations"] = {_OVER_CAPACITY: "truncated"}
    made: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta}
    if subsets:
        made["subsets"] = repacked(subsets)
    return made


def _ports(service: Object, pod: Object) -> list[Port | None]:
    """The ports the pod serves; None stands for a headless Service's lack of any."""
    wanted = service["spec"].get("ports") or []
    if not wanted:
        return [None] if services.is_headless(service) else []
    return [
        (port.get("name", ""), number, port.get("protocol", "TCP"), port.get("appProtocol", ""))
        for port in wanted
        if (number := services.target_port(port, pod)) is not None
    ]


def _subset(port: Port | None, hosts: Hosts) -> Object:
    """What offers one port; None stands for none."""
    subset: Object = {
        "addresses": [address for address, ready in hosts.values() if ready],
        "notReadyAddresses": [address for address, ready in hosts.values() if not ready],
    }
    return subset if port is None else {**subset, "ports": [_port(*port)]}


def truncated(subsets: list[Object]) -> tuple[list[Object], bool]:
    """At most as many addresses as Endpoints may hold, and whether some were left out. Ready ones come first; every
    subset keeps its share."""
    ready = sum(len(one.get("addresses") or ()) for one in subsets)
    unready = sum(len(one.get("notReadyAddresses") or ()) for one in subsets)
    if ready + unready <= _CAPACITY:
        return subsets, False
    crowded = ready > _CAPACITY
    field, total, room = (
        ("addresses", ready, _CAPACITY) if crowded else ("notReadyAddresses", unready, _CAPACITY - ready)
    )
    left = room
    kept = []
    for one in subsets:
        listed = one.get(field) or []
        share = min(left, math.ceil(len(listed) / total * room))
        left -= len(listed[:share])
        shorter = {**one, field: listed[:share]}
        if crowded:
            shorter.pop("notReadyAddresses", None)
        kept.append({name: value for name, value in shorter.items() if value})
    return kept, True


def _port(name: str, number: int, protocol: str, app: str) -> Object:
    port: Object = {"name": name} if name else {}
    port |= {"port": number, "protocol": protocol}
    return {**port, "appProtocol": app} if app else port


def _address(service: Object, pod: Object, address: str) -> Object:
    made: Object = {"ip": address}
    if name := services.hostname(service, pod):
        made["hostname"] = name
    if node := pod["spec"].get("nodeName"):
        made["nodeName"] = node
    return {**made, "targetRef": services.pod_reference(pod)}


def _same(held: Object, wanted: Object) -> bool:
    over = (held["metadata"].get("annotations") or {}).get(_OVER_CAPACITY)
    return (
        (held.get("subsets") or []) == (wanted.get("subsets") or [])
        and (held["metadata"].get("labels") or {}) == wanted["metadata"]["labels"]
        and over == (wanted["metadata"].get("annotations") or {}).get(_OVER_CAPACITY)
    )


def _is_hand_made(endpoints: Object) -> bool:
    """Endpoints that never belonged to a Service with a selector (leader locks of old, the API server's own)."""
    meta = endpoints["metadata"]
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    return services.LAST_CHANGE not in annotations and not _MANAGED.items() <= labels.items()
