"""Nodes as the cloud knows them: a new node waits under a taint until its provider id, addresses, zone and instance
type are written down; addresses are looked at again from time to time.

Source: "Cloud Controller Manager", node controller; "Well-Known Labels, Annotations and Taints".
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Coroutine, Iterable
from typing import Any

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.cloud import taints
from kybern.cloud.controller import Context, Controller, periodically
from kybern.cloud.options import Options
from kybern.cloud.provider import CloudError, Metadata

log = logging.getLogger(__name__)

PROVIDED_IP = "alpha.kubernetes.io/provided-node-ip"
"""The kubelet's --node-ip: addresses that the cloud must have given the machine."""
_LABELS = {
    "instance_type": ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    "zone": ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    "region": ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
}
"""Metadata's field -> the labels that say it; the first one is believed where they differ."""
_RESERVED = re.compile(r"(kubernetes|k8s)\.io/")


class CloudNodeController(Controller):
    """The work queue's keys are node names."""

    name = "cloud-node-controller"
    aliases = ("cloud-node",)
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert self.options.cloud.instances is not None
        self._instances = self.options.cloud.instances
        self._zones = self.options.cloud.zones
        self.nodes = self.informer("v1", "nodes", namespaced=False)
        self._nodes = self.client.resource("v1", "nodes", namespaced=False)
        self._recorder = context.recorder(self.name)
        self.watch(self.nodes, lambda node: [node["metadata"]["name"]])

    @classmethod
    def wanted(cls, options: Options) -> bool:
        if options.cloud.instances is None:
            log.warning("%s doesn't run: the cloud provider has no instances", cls.name)
        return options.cloud.instances is not None

    def background(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [periodically(self.options.node_status_update_frequency, self.refresh, self.name)]

    async def reconcile(self, key: str) -> float | None:
        node = self.nodes.get(key)
        if node is None:
            return None
        if taints.has(node, taints.UNINITIALIZED):
            return await self._initialise(node)
        if changed := stale_labels(node):
            await self._nodes.patch(key, {"metadata": {"labels": changed}})
        return None

    async def refresh(self) -> None:
        """Look at the addresses of all nodes that are initialised."""
        for node in self.nodes.list():
            if taints.has(node, taints.UNINITIALIZED):
                continue
            name = node["metadata"]["name"]
            try:
                if metadata := await self._instances.metadata(node):
                    await self._write_addresses(node, metadata)
            except (CloudError, APIError) as error:
                log.warning("addresses of node %s: %s", name, error)

    async def _initialise(self, node: Object) -> float | None:
        """Raises CloudError, and Conflict if the node changed meanwhile; the taint stays until all is done."""
        name = node["metadata"]["name"]
        try:
            metadata = await self._instances.metadata(node)
            if metadata is None:
                log.info("the cloud leaves node %s alone", name)
                return None
            # Before the taint goes: a node with a wrong address must not get pods.
            preferred(node, metadata.addresses)
            labels = await self._labels(node, metadata)
        except CloudError as error:
            if error.retry_after is None:
                raise
            log.warning("node %s: %s", name, error)
            return error.retry_after
        node = await self._write_addresses(node, metadata)
        node = await self._nodes.update(_with_facts(node, metadata, labels))
        log.info("node %s is initialised", name)
        self._recorder.event(node, "Normal", "Synced", "Node synced successfully")
        return None

    async def _labels(self, node: Object, metadata: Metadata) -> dict[str, str]:
        facts = {"instance_type": metadata.instance_type, "zone": metadata.zone, "region": metadata.region}
        if self._zones is not None and not (metadata.zone or metadata.region):
            where = await self._zones.of(node)
            facts |= {"zone": where.zone, "region": where.region}
        found = {label: value for field, value in facts.items() if value for label in _LABELS[field]}
        present = node["metadata"].get("labels") or {}
        for label, value in metadata.labels.items():
            if _RESERVED.search(label) or label in present:
                log.warning("label %s that the cloud has for node %s is left out", label, node["metadata"]["name"])
            else:
                found[label] = value
        return found

    async def _write_addresses(self, node: Object, metadata: Metadata) -> Object:
        """Gives the node as it is then. Raises CloudError where the kubelet was told an address that the cloud doesn't
        have."""
        before = (node.get("status") or {}).get("addresses") or []
        after = list(metadata.addresses)
        if not after:
            return node
        if not any(address["type"] == "Hostname" for address in after):
            after += [address for address in before if address["type"] == "Hostname"]
        after = preferred(node, after)
        if after == before:
            return node
        change = {"status": {"addresses": after}}
        return await self._nodes.patch(node["metadata"]["name"], change, subresource="status")


def _with_facts(node: Object, metadata: Metadata, labels: dict[str, str]) -> Object:
    """The node as it is once initialised."""
    spec = {**node["spec"], "taints": taints.without(node, taints.UNINITIALIZED)}
    if metadata.provider_id and not spec.get("providerID"):
        spec["providerID"] = metadata.provider_id
    meta = node["metadata"]
    return {**node, "metadata": {**meta, "labels": {**(meta.get("labels") or {}), **labels}}, "spec": spec}


def preferred(node: Object, addresses: list[Object]) -> list[Object]:
    """The addresses with those that the kubelet was told in front, as the only ones of their types. Raises CloudError
    if the cloud has none such."""
    text = (node["metadata"].get("annotations") or {}).get(PROVIDED_IP)
    if not text:
        return addresses
    first: list[Object] = []
    for wanted in text.split(","):
        matches = [one for one in addresses if _same(one["address"], wanted)]
        if not matches:
            raise CloudError(f"failed to get node address from cloud provider that matches ip: {wanted}")
        first += matches
    types = {one["type"] for one in first}
    return [*first, *(one for one in addresses if one["type"] not in types)]


def _same(address: str, wanted: str) -> bool:
    try:
        return ipaddress.ip_address(address) == ipaddress.ip_address(wanted.strip())
    except ValueError:
        return False


def stale_labels(node: Object) -> dict[str, str]:
    """The stable labels that lack, or differ from, what the beta ones say."""
    labels = node["metadata"].get("labels") or {}
    return {new: labels[old] for old, new in _LABELS.values() if old in labels and labels.get(new) != labels[old]}
