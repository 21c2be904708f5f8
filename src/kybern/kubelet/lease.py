"""The node's Lease in kube-node-lease: the sign of life that controllers look at. Source: KEP-589."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kybern.api.errors import APIError, Conflict, NotFound
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.client.transport import severity
from kybern.process.clock import clock

log = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
RENEW_AT = 0.25
"""The part of the lease's duration after which it is renewed."""
RETRY = 1.0


class Lease:
    """`node` gives the node as the API has it, which owns the lease; None before it is registered."""

    def __init__(self, client: Client, name: str, seconds: int, node: Callable[[], Object | None]) -> None:
        self._leases = client.resource("coordination.k8s.io/v1", "leases")
        self._name, self._seconds, self._node = name, seconds, node
        self._lease: Object | None = None

    async def run(self) -> None:
        """Renew it until cancelled."""
        failed = False
        while True:
            try:
                await self.renew()
                failed = False
            except APIError as error:
                # The namespace may be just being made, the server just restarting: say it once.
                if not failed:
                    log.log(min(severity(error), logging.INFO), "lease of node %s not renewed: %s", self._name, error)
                failed = True
            await asyncio.sleep(RETRY if failed else self._seconds * RENEW_AT)

    async def renew(self) -> None:
        """Renew it now, or make it. Raises APIError."""
        if self._lease is None:
            try:
                self._lease = await self._leases.get(self._name, NAMESPACE)
            except NotFound:
                self._lease = await self._leases.create(self._renewed(self._new()))
                return
        try:
            self._lease = await self._leases.update(self._renewed(self._lease))
        except (Conflict, NotFound):
            # Somebody else changed or deleted it: look again at the next try.
            self._lease = None
            raise

    def _new(self) -> Object:
        meta = {"name": self._name, "namespace": NAMESPACE}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": {}}

    def _renewed(self, lease: Object) -> Object:
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": self._seconds, "renewTime": clock.micro_stamp()}
        meta = dict(lease["metadata"])
        node = self._node()
        if node and not meta.get("ownerReferences"):
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": node["metadata"]["uid"]}
            meta["ownerReferences"] = [owner]
        return {**lease, "metadata": meta, "spec": {**lease["spec"], **spec}}
