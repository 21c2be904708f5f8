"""What a Service's endpoints are: pure functions from a Service and its pods, shared by the endpoint controllers.

Source: https://kubernetes.io/docs/concepts/services-networking/service/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from kybern.api.selectors import from_labels
from kybern.api.types import Object
from kybern.client.informer import Informer
from kybern.controllers import conditions, pods

HEADLESS = "service.kubernetes.io/headless"
LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"


def selected_by(services: Informer, pod: Object) -> Iterable[str]:
    """The keys of the Services that select the pod."""
    labels = pod["metadata"].get("labels") or {}
    if not labels:
        return []
    namespace = pod["metadata"]["namespace"]
    return [
        f"{namespace}/{service['metadata']['name']}"
        for service in services.by_index("namespace", namespace)
        if (selector := service["spec"].get("selector")) and from_labels(selector).matches(labels)
    ]


def selected(service: Object, all_pods: Informer) -> list[Object]:
    """The pods that the Service selects."""
    selector = from_labels(service["spec"]["selector"])
    found = all_pods.by_index("namespace", service["metadata"]["namespace"])
    return [pod for pod in found if selector.matches(pod["metadata"].get("labels"))]


def matters(old: Object | None, new: Object | None) -> bool:
    """Whether a pod's change can change endpoints; most status updates can't."""
    if old is None or new is None:
        return True
    return _facts(old) != _facts(new)


def _facts(pod: Object) -> tuple[object, ...]:
    meta, status = pod["metadata"], pod.get("status") or {}
    return (
        meta["uid"],
        meta.get("labels"),
        bool(meta.get("deletionTimestamp")),
        pod["spec"].get("nodeName"),
        status.get("podIPs") or status.get("podIP"),
        pods.is_ready(pod),
        pods.is_finished(pod),
    )


def family(address: str) -> str:
    """IPv4 or IPv6."""
    return f"IPv{ipaddress.ip_address(address).version}"


def address_of(pod: Object, wanted: str) -> str:
    """The pod's address of a family; "" without one."""
    status = pod.get("status") or {}
    addresses = [entry["ip"] for entry in status.get("podIPs") or ()] or [status.get("podIP") or ""]
    return next((address for address in addresses if address and family(address) == wanted), "")


def belongs(pod: Object, *, terminating: bool) -> bool:
    """Whether it can be an endpoint at all."""
    return not pods.is_finished(pod) and (terminating or not pod["metadata"].get("deletionTimestamp"))


def families(service: Object) -> list[str]:
    """The address families the Service has endpoints in."""
    return list(service["spec"].get("ipFamilies") or ["IPv4"])


def is_headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def target_port(port: Object, pod: Object) -> int | None:
    """The number behind a Service port on this pod; None where a named port isn't there."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    protocol = port.get("protocol", "TCP")
    sidecars = [one for one in pod["spec"].get("initContainers") or () if one.get("restartPolicy") == "Always"]
    for container in [*pod["spec"]["containers"], *sidecars]:
        for offered in container.get("ports") or ():
            if offered.get("name") == target and offered.get("protocol", "TCP") == protocol:
                return int(offered["containerPort"])
    return None


def hostname(service: Object, pod: Object) -> str:
    """The name under which DNS serves this pod of a headless Service."""
    spec = pod["spec"]
    return str(spec.get("hostname", "")) if spec.get("subdomain") == service["metadata"]["name"] else ""


def pod_reference(pod: Object) -> Object:
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def trigger_time(service: Object, chosen: Iterable[Object]) -> str:
    """When the last thing happened that the endpoints reflect."""
    times: list[str] = [service["metadata"].get("creationTimestamp", "")]
    for pod in chosen:
        ready = conditions.find(pod.get("status"), "Ready") or {}
        times += [ready.get("lastTransitionTime") or "", pod["metadata"].get("deletionTimestamp") or ""]
    return max(times)


def inherited_labels(service: Object, reserved: Mapping[str, str]) -> dict[str, str]:
    """The Service's labels with the controller's own put over them."""
    labels: dict[str, str] = dict(service["metadata"].get("labels") or {})
    labels.pop(HEADLESS, None)
    if is_headless(service):
        labels[HEADLESS] = ""
    return labels | dict(reserved)
