"""Endpoints: the old form of a Service's addresses, at most 1000 of them.

Source: API reference, Endpoints v1 core.
"""

from __future__ import annotations

from kybern.api.errors import AlreadyExists, Forbidden, NotFound
from kybern.api.types import Object, key_of, split_key
from kybern.controllers import pods, services
from kybern.controllers.controller import Context, Controller
from kybern.controllers.serviceaccount import is_ending

_CAPACITY = 1000
_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_MANAGED = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}


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
        self.watch(self.services, lambda obj: [key_of(obj)])
        self.watch(self.endpoints, lambda obj: [key_of(obj)])
        self.pods.on_change(self._pod_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if services.matters(old, new):
            for pod in filter(None, (old, new)):
                for key in services.selected_by(self.services, pod):
                    self.queue.add(key)

    async def reconcile(self, key: str) -> float | None:
        service = self.services.get(key)
        held = self.endpoints.get(key)
        if service is None:
            if held is not None and not _is_hand_made(held):
                await self._delete(key)
            return None
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
    grouped: dict[tuple[tuple[str, int, str, str], ...], tuple[list[Object], list[Object]]] = {}
    total = 0
    for pod in sorted(chosen, key=key_of):
        address = services.address_of(pod, family)
        if not address or not services.belongs(pod, terminating=publish):
            continue
        total += 1
        if total > _CAPACITY:
            continue
        ready = publish or pods.is_ready(pod)
        for ports in _ports(service, pod):
            grouped.setdefault(ports, ([], []))[0 if ready else 1].append(_address(service, pod, address))
    meta: Object = {"name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"]}
    meta["labels"] = services.inherited_labels(service, _MANAGED)
    if total > _CAPACITY:
        meta["annotations"] = {_OVER_CAPACITY: "truncated"}
    made: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta}
    if grouped:
        made["subsets"] = [_subset(ports, *grouped[ports]) for ports in sorted(grouped)]
    return made


def _ports(service: Object, pod: Object) -> list[tuple[tuple[str, int, str, str], ...]]:
    """The port sets the pod serves: one with all its ports, or none where a named port is missing."""
    wanted = service["spec"].get("ports") or []
    if not wanted:
        return [()] if services.is_headless(service) else []
    found = []
    for port in wanted:
        number = services.target_port(port, pod)
        if number is not None:
            found.append((port.get("name", ""), number, port.get("protocol", "TCP"), port.get("appProtocol", "")))
    return [tuple(sorted(found))] if found else []


def _subset(ports: tuple[tuple[str, int, str, str], ...], ready: list[Object], unready: list[Object]) -> Object:
    subset: Object = {}
    if ready:
        subset["addresses"] = sorted(ready, key=lambda one: one["ip"])
    if unready:
        subset["notReadyAddresses"] = sorted(unready, key=lambda one: one["ip"])
    if ports:
        subset["ports"] = [_port(*port) for port in ports]
    return subset


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
