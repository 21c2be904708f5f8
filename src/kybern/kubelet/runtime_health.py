"""Whether the runtime and its pod network are well, as CRI's Status says; upstream's words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.runtime.cache import RuntimeCache
from kybern.kubelet.runtime.client import RuntimeClient, RuntimeFailure
from kybern.process.clock import monotonic

log = logging.getLogger(__name__)

PERIOD = 5.0
"""Seconds between looks while all is well."""
UNREADY_PERIOD, HURRIED_PERIOD, HURRY = 0.5, 0.03, 3.0
"""The same while something is missing, and for a while after it may just have come."""
DOWN_AFTER = 30.0
MISSING_AFTER = 10.0
"""Seconds without an answer after which the operator is told."""


class RuntimeHealth:
    """`on_change` is called when something got better or worse."""

    def __init__(self, runtime: RuntimeClient, cache: RuntimeCache, endpoint: str) -> None:
        self._runtime, self._cache, self._endpoint = runtime, cache, endpoint
        self.name = self.version = ""
        self.network_error = "container runtime status check may not have completed yet"
        """Why pods get no network; empty if they do."""
        self.on_change: Callable[[], None] = lambda: None
        self._runtime_error = self.network_error
        self._answered = monotonic()
        self._hurry_until = 0.0
        self._hurried = asyncio.Event()

    @property
    def described(self) -> str:
        """`containerd://1.7.0`; empty before the runtime has answered."""
        return f"{self.name}://{self.version}" if self.name else ""

    def errors(self) -> tuple[str, ...]:
        """Why the node isn't ready; empty if the runtime doesn't stand in its way."""
        found = [self._runtime_error]
        if self.network_error != self._runtime_error:
            found.append(self.network_error)
        if self._cache.listed_at and not self._cache.healthy:
            ago = monotonic() - self._cache.listed_at
            found.append(f"PLEG is not healthy: pleg was last seen active {ago:.0f}s ago; threshold is 3m0s")
        return tuple(error for error in found if error)

    def hurry(self) -> None:
        """What was missing may be there now: look often for a while."""
        self._hurry_until = monotonic() + HURRY
        self._hurried.set()

    async def wait(self) -> None:
        """Until the runtime answers; says so when that takes long, and again every minute."""
        began = monotonic()
        told = began + MISSING_AFTER
        while True:
            try:
                answer = await self._runtime.version()
                self.name, self.version = answer.runtime_name, answer.runtime_version
                log.info("the container runtime is %s %s", self.name, self.version)
                return
            except RuntimeFailure as error:
                if monotonic() >= told:
                    told = monotonic() + 60
                    log.error(
                        "no container runtime answers at %s (%s); start containerd, or name another socket with "
                        "--container-runtime-endpoint; still trying", self._endpoint, error
                    )  # fmt: skip
                await asyncio.sleep(0.1)

    async def run(self) -> None:
        """Look again and again."""
        while True:
            before = self.errors()
            await self._look()
            if self.errors() != before:
                self.on_change()
            await self._pause()

    async def _look(self) -> None:
        try:
            conditions = await self._runtime.status()
        except RuntimeFailure as error:
            if monotonic() - self._answered > DOWN_AFTER and self._runtime_error != "container runtime is down":
                self._runtime_error = "container runtime is down"
                log.warning("the container runtime does not answer: %s", error)
            return
        self._answered = monotonic()
        self._runtime_error = _problem("container runtime not ready", conditions.get("RuntimeReady"))
        network_error = _problem("container runtime network not ready", conditions.get("NetworkReady"))
        if bool(network_error) != bool(self.network_error):
            log.info(network_error or "the pod network is ready")
        self.network_error = network_error

    async def _pause(self) -> None:
        hurried = monotonic() < self._hurry_until
        period = (HURRIED_PERIOD if hurried else UNREADY_PERIOD) if self.errors() else PERIOD
        self._hurried.clear()
        try:
            async with asyncio.timeout(period):
                await self._hurried.wait()
        except TimeoutError:
            return


def _problem(what: str, condition: cri.RuntimeCondition | None) -> str:
    if condition is not None and condition.status:
        return ""
    if condition is None:
        return f"{what}: the runtime doesn't say"
    return f"{what}: {condition.type}=false reason:{condition.reason} message:{condition.message}"
