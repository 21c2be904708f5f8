"""The node in the API: registers it, or adopts the one that is there, and keeps its status as the node is.

    register -> at once, again until the API server answers
    report   -> when something changed, looked at every 10 s and when woken; unchanged, every 5 minutes

Source: "Nodes" concept page, heartbeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from kybern.api.errors import AlreadyExists, APIError, NotFound
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.client.transport import severity
from kybern.kubelet import node_status
from kybern.kubelet.config import Config
from kybern.kubelet.recorder import Recorder
from kybern.process.clock import clock

log = logging.getLogger(__name__)

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
"""The taint that keeps pods away until an external cloud has initialised the node."""
PROVIDED_IP = "alpha.kubernetes.io/provided-node-ip"
"""Tells it the addresses that the operator said."""

EAGER, EAGER_TRIES, PATIENT = 0.1, 300, 2.0
"""Seconds between tries to register: short ones first, as the API server may be just starting."""
RETRY = 1.0
"""Seconds after which a report that failed is sent again."""


class Node:
    """`facts` gives what was seen of the node just now; `object` is the node as the API last had it."""

    def __init__(
        self, client: Client, config: Config, facts: Callable[[], node_status.Facts], record: Recorder
    ) -> None:
        self._nodes = client.resource("v1", "nodes", namespaced=False)
        self._config, self._facts, self._record = config, facts, record
        self.object: Object | None = None
        self._reported_at = 0.0
        self._wake = asyncio.Event()

    @property
    def reference(self) -> Object:
        """What events about the node are about: upstream gives it its name for a UID."""
        name = self._config.node_name
        return {"kind": "Node", "apiVersion": "v1", "name": name, "uid": name}

    def say(self, reason: str, message: str) -> None:
        """A Normal event about the node."""
        self._record(self.reference, "Normal", reason, message, "")

    def wake(self) -> None:
        """Something changed: look, and report if it matters."""
        self._wake.set()

    def seen(self, node: Object | None) -> None:
        """The node as the API has it now; others may have changed it."""
        if node is not None:
            self.object = node
            if self._condition_lost(node):
                self.wake()

    @staticmethod
    def _condition_lost(node: Object) -> bool:
        """Whether the controller gave the node up while nobody heard of it."""
        return any(c["status"] == "Unknown" for c in (node.get("status") or {}).get("conditions") or [])

    async def register(self) -> None:
        """Until it succeeds; says once what keeps it from it."""
        said = ""
        for attempt in range(2**62):
            try:
                self.object = await (self._register() if self._config.register_node else self._find())
                log.info("node %s is registered", self._config.node_name)
                return
            except APIError as error:
                if str(error) != said:
                    said = str(error)
                    log.info("node %s is not registered yet: %s", self._config.node_name, said)
                await asyncio.sleep(EAGER if attempt < EAGER_TRIES else PATIENT)

    async def _find(self) -> Object:
        return await self._nodes.get(self._config.node_name)

    async def _register(self) -> Object:
        config, facts = self._config, self._facts()
        labels = node_status.labels(config, facts.machine)
        node: Object = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": config.node_name,
                "labels": labels,
                "annotations": {
                    "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                    **self._hints(),
                },
            },
            "spec": {},
            # Without it schedulers would find a node that holds no pods.
            "status": node_status.build(config, facts, {}),
        }
        taints = [*config.node_taints]
        if config.external_cloud:
            taints.append({"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"})
        if taints:
            node["spec"]["taints"] = taints
        if config.provider_id:
            node["spec"]["providerID"] = config.provider_id
        with contextlib.suppress(AlreadyExists):
            return await self._nodes.create(node)
        return await self._adopt(labels)

    def _hints(self) -> dict[str, str]:
        """Annotations for the cloud."""
        config = self._config
        return {PROVIDED_IP: ",".join(config.node_ips)} if config.external_cloud and config.node_ips_given else {}

    async def _adopt(self, wanted: dict[str, str]) -> Object:
        """Take over the node of an earlier life, or one that somebody made for us."""
        found = await self._find()
        present = found["metadata"].get("labels") or {}
        changed = {label: value for label, value in wanted.items() if present.get(label) != value}
        told = (found["metadata"].get("annotations") or {}).get(PROVIDED_IP)
        metadata: Object = {"labels": changed} if changed else {}
        if (hint := self._hints().get(PROVIDED_IP)) != told:
            metadata["annotations"] = {PROVIDED_IP: hint}
        return await self._nodes.patch(self._config.node_name, {"metadata": metadata}) if metadata else found

    async def run(self) -> None:
        """Report, again and again. Register first."""
        while True:
            pause = self._config.status_period
            self._wake.clear()
            try:
                await self.report()
            except NotFound:
                log.warning("node %s was deleted from the API; restart the kubelet to register it anew",
                            self._config.node_name)  # fmt: skip
            except APIError as error:
                log.log(severity(error), "status of node %s not sent: %s", self._config.node_name, error)
                pause = RETRY
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    async def report(self) -> None:
        """Send the status if it changed or its heartbeat is due. Raises APIError."""
        if self.object is None:
            return
        before: Object = self.object.get("status") or {}
        after = node_status.build(self._config, self._facts(), before)
        now = clock.time()
        if not node_status.differs(before, after) and now - self._reported_at < self._config.report_period:
            return
        changed = node_status.difference(before, after)
        self.object = await self._nodes.patch(
            self._config.node_name, {"status": changed}, type="strategic", subresource="status"
        )
        self._reported_at = now
        for reason in node_status.transitions(before.get("conditions") or [], after["conditions"]):
            self.say(reason, f"Node {self._config.node_name} status is now: {reason}")
