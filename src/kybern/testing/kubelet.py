"""A kubelet without containers, for any number of nodes: registers them, keeps their leases, and takes the pods bound
to them through the states that a kubelet reports.

An annotation on a pod chooses how it goes: `testing.kybern.dev/outcome: Succeeded | Failed | NotReady`; without it the
pod becomes ready.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from typing import Any

from kybern.api.errors import AlreadyExists, APIError, Conflict, NotFound
from kybern.api.types import Object, key_of
from kybern.controllers import pods
from kybern.controllers.controller import Context, Controller, periodically
from kybern.controllers.owners import is_deleting
from kybern.process.clock import clock

OUTCOME = "testing.kybern.dev/outcome"
_LEASE_SECONDS = 40
_RENEW_EVERY = 10.0
_NAMESPACE = "kube-node-lease"


class SimulatedKubelets(Controller):
    """Keys are pods. `nodes` are those it plays the kubelet for; remove one and its node falls silent."""

    name = "simulated-kubelet"
    workers = 16

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes: set[str] = set()
        self.pods = pods.index(self.informer("v1", "pods"))
        self._pods = self.client.resource("v1", "pods")
        self._nodes = self.client.resource("v1", "nodes", namespaced=False)
        self._leases = self.client.resource("coordination.k8s.io/v1", "leases")
        self._addresses = 0
        self.watch(self.pods, lambda pod: [key_of(pod)] if pod["spec"].get("nodeName") in self.nodes else [])

    async def add_node(self, node: Object) -> None:
        """Register a node, ready."""
        name = node["metadata"]["name"]
        number = len(self.nodes) + 1
        with contextlib.suppress(AlreadyExists):
            await self._nodes.create({field: value for field, value in node.items() if field != "status"})
        status = {
            **(node.get("status") or {}),
            "addresses": [
                {"type": "InternalIP", "address": f"192.0.{2 + number // 250}.{1 + number % 250}"},
                {"type": "Hostname", "address": name},
            ],
            "conditions": _node_conditions(),
            "nodeInfo": _node_info(),
        }
        await self._nodes.patch(name, {"status": status}, subresource="status")
        self.nodes.add(name)
        await self._renew(name)

    async def set_ready(self, name: str, *, ready: bool) -> None:
        """Post the node's condition, as its kubelet would."""
        await self._nodes.patch(name, {"status": {"conditions": _node_conditions(ready=ready)}}, subresource="status")

    def background(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [periodically(_RENEW_EVERY, self.renew_leases, self.name)]

    async def renew_leases(self) -> None:
        """A sign of life of every node."""
        await asyncio.gather(*map(self._renew, sorted(self.nodes)))

    async def reconcile(self, key: str) -> float | None:
        pod = self.pods.get(key)
        if pod is None or pod["spec"].get("nodeName") not in self.nodes:
            return None
        meta = pod["metadata"]
        if is_deleting(pod):
            try:
                await self._pods.delete(meta["name"], meta["namespace"], grace_period_seconds=0, uid=meta["uid"])
            except (NotFound, Conflict):
                # Gone, or another pod of the same name by now.
                return None
            return None
        if pods.is_finished(pod):
            return None
        outcome = (meta.get("annotations") or {}).get(OUTCOME, "")
        if pods.phase(pod) == "Running" and pods.is_ready(pod) == (outcome == ""):
            return None
        status = running_status(pod, outcome, self._next_address(pod))
        try:
            body = {"metadata": {"uid": meta["uid"]}, "status": status}
            await self._pods.patch(meta["name"], body, meta["namespace"], type="strategic", subresource="status")
        except NotFound:
            return None
        return None

    def _next_address(self, pod: Object) -> str:
        if held := (pod.get("status") or {}).get("podIP"):
            return str(held)
        self._addresses += 1
        return f"10.244.{self._addresses // 250}.{1 + self._addresses % 250}"

    async def _renew(self, node: str) -> None:
        spec = {"holderIdentity": node, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": clock.micro_stamp()}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": node, "namespace": _NAMESPACE},
            "spec": spec,
        }
        try:
            await self._leases.patch(node, {"spec": spec}, _NAMESPACE)
        except NotFound:
            try:
                await self._leases.create(lease)
            except APIError:
                # The namespace is being made; the next renewal tries again.
                return


def running_status(pod: Object, outcome: str, address: str) -> Object:
    """The status a kubelet would report for a pod that has come that far."""
    now = clock.stamp()
    done = outcome in ("Succeeded", "Failed")
    ready = "False" if outcome else "True"
    conditions = [
        {"type": type, "status": value, "lastTransitionTime": now}
        for type, value in (
            ("PodReadyToStartContainers", "False" if done else "True"),
            ("Initialized", "True"),
            ("Ready", ready),
            ("ContainersReady", ready),
            ("PodScheduled", "True"),
        )
    ]
    return {
        "phase": outcome if done else "Running",
        "conditions": conditions,
        "startTime": now,
        "hostIP": "192.0.2.1",
        "hostIPs": [{"ip": "192.0.2.1"}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "containerStatuses": [_container_status(one, outcome, now) for one in pod["spec"]["containers"]],
    }


def _container_status(container: Object, outcome: str, now: str) -> Object:
    if outcome in ("Succeeded", "Failed"):
        code = 0 if outcome == "Succeeded" else 1
        reason = "Completed" if outcome == "Succeeded" else "Error"
        state: Object = {"terminated": {"exitCode": code, "reason": reason, "startedAt": now, "finishedAt": now}}
    else:
        state = {"running": {"startedAt": now}}
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "containerID": f"simulated://{container['name']}",
        "ready": not outcome,
        "started": not outcome,
        "restartCount": 0,
        "state": state,
    }


def _node_conditions(*, ready: bool = True) -> list[Object]:
    now = clock.stamp()
    facts = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status")
        if ready
        else ("Ready", "False", "KubeletNotReady", "container runtime is down"),
    )
    return [
        {
            "type": type,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        for type, status, reason, message in facts
    ]


def _node_info() -> Object:
    return {
        "architecture": "amd64",
        "operatingSystem": "linux",
        "osImage": "simulated",
        "kernelVersion": "simulated",
        "containerRuntimeVersion": "simulated://1",
        "kubeletVersion": "v1.36.0",
        "kubeProxyVersion": "",
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
    }
