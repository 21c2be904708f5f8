"""One of several replicas works: who holds the Lease. Source: client-go's leader election and its defaults."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from copy import copy

from kybern.api.errors import AlreadyExists, APIError, Conflict, NotFound
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.client.transport import Unreachable, severity
from kybern.process.clock import clock, monotonic, new_uid, random
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)

_JITTER = 1.2


class LeadershipLost(Exception):
    """The lease could not be renewed in time; somebody else may lead already. The process should end."""


def default_identity() -> str:
    """`hostname_uuid`, as upstream's components name themselves."""
    return f"{socket.gethostname()}_{os.getpid()}_{new_uid()}"


class LeaderElector:
    """Durations in seconds. A lease counts from when *this* process last saw it change, so clocks may differ. While
    leading, `client` writes only within the renew deadline: a process that was held still does not act on a lease
    that is another's by now. Raises OperatorError for durations that don't go together."""

    def __init__(
        self,
        client: Client,
        name: str,
        identity: str = "",
        namespace: str = "kube-system",
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
    ) -> None:
        if not lease_duration > renew_deadline > retry_period * _JITTER > 0:
            raise OperatorError(
                f"leader election: the lease ({lease_duration:g}s) must last longer than the renew deadline "
                f"({renew_deadline:g}s), and that longer than 1.2 retry periods ({retry_period:g}s)"
            )
        self._client = client
        self._leases = copy(client).resource("coordination.k8s.io/v1", "leases")  # a copy knows no fence
        self.name, self.namespace = name, namespace
        self.identity = identity or default_identity()
        self.lease_duration, self.renew_deadline, self.retry_period = lease_duration, renew_deadline, retry_period
        self._lease: Object | None = None
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = 0.0
        self._sure_until = 0.0

    @property
    def leading(self) -> bool:
        """Whether the lease last seen is ours."""
        return self._lease is not None and self._lease.get("spec", {}).get("holderIdentity") == self.identity

    async def run(self, on_started: Callable[[], Awaitable[None]]) -> None:
        """Wait to lead, run `on_started` while leading, and give the lease back at the end.
        Raises LeadershipLost, or what `on_started` raised."""
        while not await self._try():
            await asyncio.sleep(self.retry_period * random.uniform(1, _JITTER))
        log.info("leading %s/%s as %s", self.namespace, self.name, self.identity)
        self._client.fence = self._check
        work = asyncio.ensure_future(on_started())
        renewal = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                renewal.result()
        finally:
            for task in (work, renewal):
                task.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)
            self._sure_until = 0.0
            log.info("no longer leading %s/%s as %s", self.namespace, self.name, self.identity)
            await self._release()
        work.result()

    def _check(self) -> None:
        """Raises Unreachable where somebody else may lead by now."""
        if monotonic() >= self._sure_until:
            raise Unreachable(f"the lease {self.namespace}/{self.name} was not renewed in time; nothing is written")

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(self.retry_period)
            left = self.renew_deadline - (loop.time() - renewed)
            ours = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(left, 0.001)):
                    ours = await self._try()
            if ours:
                renewed = loop.time()
            elif left <= self.retry_period or (self._lease is not None and not self.leading):
                raise LeadershipLost(f"lost the lease {self.namespace}/{self.name}")

    async def _try(self) -> bool:
        """Take or renew the lease if it is free or ours."""
        try:
            if not self.leading:
                self._observe(await self._leases.get(self.name, self.namespace))
            return await self._claim()
        except NotFound:
            return await self._create()
        except Conflict:
            self._lease = None
        except APIError as error:
            log.log(severity(error), "lease %s/%s: %s", self.namespace, self.name, error)
        return False

    async def _create(self) -> bool:
        lease: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {**self._record(clock.micro_stamp()), "leaseTransitions": 0},
        }
        began = monotonic()
        try:
            self._observe(await self._leases.create(lease))
        except AlreadyExists:
            return False
        except APIError as error:
            log.log(severity(error), "lease %s/%s: %s", self.namespace, self.name, error)
            return False
        self._sure_until = began + self.renew_deadline
        return True

    async def _claim(self) -> bool:
        assert self._lease is not None
        spec = self._lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder and holder != self.identity and not self._expired(spec):
            return False
        record = self._record(spec.get("acquireTime") if holder == self.identity else clock.micro_stamp())
        transitions = spec.get("leaseTransitions", 0) + (holder != self.identity)
        changed = {**self._lease, "spec": {**spec, **record, "leaseTransitions": transitions}}
        began = monotonic()
        self._observe(await self._leases.update(changed))
        self._sure_until = began + self.renew_deadline
        return True

    def _record(self, acquired: str | None) -> Object:
        now = clock.micro_stamp()
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self.lease_duration),
            "acquireTime": acquired or now,
            "renewTime": now,
        }

    def _observe(self, lease: Object) -> None:
        self._lease = lease
        spec = lease.get("spec") or {}
        seen = (spec.get("holderIdentity") or "", spec.get("renewTime") or "")
        if seen != self._seen:
            self._seen, self._seen_at = seen, asyncio.get_running_loop().time()

    def _expired(self, spec: Object) -> bool:
        duration = spec.get("leaseDurationSeconds") or self.lease_duration
        return asyncio.get_running_loop().time() >= self._seen_at + float(duration)

    async def _release(self) -> None:
        """Let a successor start at once instead of waiting for the lease to run out."""
        if not self.leading or self._lease is None:
            return
        spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        spec["renewTime"] = clock.micro_stamp()
        try:
            async with asyncio.timeout(2):
                await self._leases.update({**self._lease, "spec": spec})
        except (APIError, TimeoutError) as error:
            log.debug("lease %s/%s not released: %s", self.namespace, self.name, error)
        self._lease = None
