"""Stopping containers and pods: preStop hook, SIGTERM, and SIGKILL when the grace period is over.

Sidecars outlive the ordinary containers and end one by one in reverse order; all hooks run from the start.
Source: "Termination of Pods", KEP-753.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from kybern.api.types import Object
from kybern.kubelet import hooks, resources
from kybern.kubelet.host import Host
from kybern.kubelet.probes.base import Target
from kybern.kubelet.recorder import PodEvents
from kybern.kubelet.runtime.client import RuntimeFailure
from kybern.kubelet.runtime.state import Container, PodState
from kybern.kubelet.sync import is_sidecar
from kybern.process.clock import monotonic

log = logging.getLogger(__name__)

MINIMUM_GRACE = 2
"""Seconds a container always gets between SIGTERM and SIGKILL, unless it was deleted by force."""

Turn = Callable[[], Awaitable[object]]
"""Waits for those that must end before."""


def grace_period(pod: Object, container: Object | None = None, reason: str = "") -> int:
    """Seconds a pod, or a container killed for a failed probe (`reason` liveness or startup), has to end."""
    meta, spec = pod["metadata"], pod["spec"]
    if meta.get("deletionGracePeriodSeconds") is not None:
        return int(meta["deletionGracePeriodSeconds"])
    probe = (container or {}).get(f"{reason}Probe") or {}
    for asked in (probe.get("terminationGracePeriodSeconds"), spec.get("terminationGracePeriodSeconds")):
        if asked is not None:
            return int(asked)
    return 30


async def kill_container(
    host: Host,
    events: PodEvents,
    pod: Object,
    container: Container,
    grace: int,
    message: str = "",
    ip: str = "",
    turn: Turn | None = None,
) -> None:
    """Stop one running container. Raises RuntimeFailure, not if it is gone already."""
    spec = next((c for c in resources.containers(pod) if c["name"] == container.name), None)
    events.container(container.name, "Normal", "Killing", message or f"Stopping container {container.name}")
    handler = ((spec or {}).get("lifecycle") or {}).get("preStop")
    forced = grace <= 0 and bool(pod["metadata"].get("deletionTimestamp"))
    began = monotonic()
    if spec and handler and grace > 0:
        try:
            async with asyncio.timeout(grace):
                await hooks.run(handler, Target(host.runtime, spec, container.id, ip))
        except TimeoutError:
            log.warning("preStop hook of %s did not end within %ss", container.name, grace)
        except hooks.HookFailed as error:
            log.info("preStop hook of %s failed: %s", container.name, error)
            events.container(container.name, "Warning", "FailedPreStopHook", "PreStopHook failed")
    if turn:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(grace - (monotonic() - began), 0)):
                await turn()
    left = grace - int(monotonic() - began)
    try:
        await host.runtime.stop_container(container.id, 0 if forced else max(left, MINIMUM_GRACE))
    except RuntimeFailure as error:
        if not error.not_found:
            raise


async def kill_pod(host: Host, events: PodEvents, pod: Object, state: PodState, grace: int) -> None:
    """Stop all of a pod's containers and sandboxes. Raises RuntimeFailure."""
    ip = state.sandbox.ips[0] if state.sandbox and state.sandbox.ips else ""
    order = [c["name"] for c in pod["spec"].get("initContainers") or [] if is_sidecar(c)]
    ended = {container.id: asyncio.Event() for container in state.running}

    def follows(one: Container, other: Container) -> bool:
        """Whether `one` is a sidecar that must outlive the `other`."""
        if one.name not in order:
            return False
        return other.name not in order or order.index(one.name) < order.index(other.name)

    async def stop(container: Container) -> None:
        before = [ended[other.id] for other in state.running if follows(container, other)]

        async def turn() -> None:
            for one in before:
                await one.wait()

        try:
            await kill_container(host, events, pod, container, grace, ip=ip, turn=turn if before else None)
        finally:
            ended[container.id].set()

    await _together(*map(stop, state.running))
    for sandbox in state.sandboxes:
        try:
            await host.runtime.stop_sandbox(sandbox.id)
        except RuntimeFailure as error:
            if not error.not_found:
                raise


async def remove_pod(host: Host, state: PodState) -> None:
    """Remove a stopped pod's containers and sandboxes from the runtime. Raises RuntimeFailure."""
    for container in state.containers:
        await _forgive(host.runtime.remove_container(container.id))
    for sandbox in state.sandboxes:
        await _forgive(host.runtime.remove_sandbox(sandbox.id))


async def _forgive(call: Awaitable[None]) -> None:
    try:
        await call
    except RuntimeFailure as error:
        if not error.not_found:
            raise


async def _together(*calls: Awaitable[None]) -> None:
    """All at once; the first failure is raised when all are done."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
