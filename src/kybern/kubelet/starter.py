"""Starting: the sandbox, then a container in it: image, configuration, create, start, postStart hook."""

from __future__ import annotations

import contextlib
import logging
import os

from kybern.api.types import Object, key_of
from kybern.kubelet import cgroups, hooks, resources, security
from kybern.kubelet.container_status import Waiting
from kybern.kubelet.environment import ConfigError
from kybern.kubelet.host import Host
from kybern.kubelet.images import ImageError
from kybern.kubelet.killer import grace_period, kill_container
from kybern.kubelet.probes.base import Target
from kybern.kubelet.recorder import PodEvents
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.runtime.client import RuntimeFailure
from kybern.kubelet.runtime.state import Container, Sandbox
from kybern.kubelet.sync import Start
from kybern.kubelet.volumes.base import VolumeError

log = logging.getLogger(__name__)


class StartFailed(Exception):
    """A container could not be started; `waiting` is what its status says until the next try."""

    def __init__(self, waiting: Waiting) -> None:
        super().__init__(waiting.message)
        self.waiting = waiting


class SandboxFailed(Exception):
    """The sandbox could not be made; the message is upstream's."""


def make_directories(host: Host, pod: Object) -> None:
    """The pod's directories, readable by root only (its volumes' own modes count inside)."""
    uid = pod["metadata"]["uid"]
    host.config.paths.pod(uid).mkdir(parents=True, exist_ok=True, mode=0o750)
    host.config.paths.logs(pod).mkdir(parents=True, exist_ok=True, mode=0o755)


async def create_sandbox(host: Host, events: PodEvents, pod: Object, attempt: int) -> Sandbox:
    """Create and start it, with its network. Raises SandboxFailed."""
    if host.config.cgroups_per_qos:
        cgroups.ensure(host.config.cgroup_root, pod)
    try:
        config = host.builder.sandbox(pod, attempt)
        id = await host.runtime.run_sandbox(config, "")
        status = await host.runtime.sandbox_status(id)
    except RuntimeFailure as error:
        message = f"Failed to create pod sandbox: {error.described}"
        events.pod("Warning", "FailedCreatePodSandBox", message)
        raise SandboxFailed(message) from error
    ips = tuple(ip for ip in (status.network.ip, *(more.ip for more in status.network.additional_ips)) if ip)
    log.info("%s: sandbox and network ready: %s", key_of(pod), ", ".join(ips) or "the host's network")
    return Sandbox(id, attempt, True, status.created_at / 1e9, ips)


class Starter:
    """Starts containers of one pod."""

    def __init__(self, host: Host, events: PodEvents) -> None:
        self.host, self.events = host, events

    async def start(self, pod: Object, start: Start, sandbox: Sandbox, ips: tuple[str, ...]) -> None:
        """Raises StartFailed, VolumeError; RuntimeFailure only where the runtime is away."""
        everything = (*resources.containers(pod), *resources.ephemeral(pod))
        spec = next(c for c in everything if c["name"] == start.name)
        sandbox_config = self.host.builder.sandbox(pod, sandbox.attempt)

        def say(type_: str, reason: str, message: str) -> None:
            self.events.container(start.name, type_, reason, message)

        try:
            image = await self.host.images.ensure(pod, spec, say, sandbox_config)
        except ImageError as error:
            say("Warning", "Failed", f"Error: {error.reason}")
            raise StartFailed(Waiting(error.reason, str(error))) from error
        async with self.host.starting:
            id = await self._create(pod, spec, start, sandbox, sandbox_config, image, ips)
            say("Normal", "Created", "Container created")
            try:
                await self.host.runtime.start_container(id)
            except RuntimeFailure as error:
                say("Warning", "Failed", f"Error: {error.described}")
                raise StartFailed(Waiting("RunContainerError", error.described)) from error
        say("Normal", "Started", "Container started")
        self._link_log(pod, start, id)
        await self._post_start(pod, spec, id, ips)

    async def _create(
        self,
        pod: Object,
        spec: Object,
        start: Start,
        sandbox: Sandbox,
        sandbox_config: cri.PodSandboxConfig,
        image: cri.Image,
        ips: tuple[str, ...],
    ) -> str:
        host, name = self.host, start.name
        try:
            mounted = await host.volumes.mount(pod, ips)
            config = await host.builder.container(pod, spec, start.restart_count, image, ips, mounted)
            if start.target:
                security.share_processes(config.linux.security_context, start.target)
            host.config.paths.log(pod, name, start.restart_count).parent.mkdir(parents=True, exist_ok=True)
        except (ConfigError, OSError, VolumeError) as error:
            self.events.container(name, "Warning", "Failed", f"Error: {error}")
            raise StartFailed(Waiting("CreateContainerConfigError", str(error))) from error
        try:
            return await host.runtime.create_container(sandbox.id, config, sandbox_config)
        except RuntimeFailure as error:
            if error.unavailable:
                raise
            self.events.container(name, "Warning", "Failed", f"Error: {error.described}")
            raise StartFailed(Waiting("CreateContainerError", error.message)) from error

    def _link_log(self, pod: Object, start: Start, id: str) -> None:
        """Where log collectors look."""
        link = self.host.config.paths.log_link(pod, start.name, id)
        with contextlib.suppress(OSError):
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(self.host.config.paths.log(pod, start.name, start.restart_count), link)

    async def _post_start(self, pod: Object, spec: Object, id: str, ips: tuple[str, ...]) -> None:
        handler = (spec.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        ip = ips[0] if ips else ""
        try:
            await hooks.run(handler, Target(self.host.runtime, spec, id, ip))
        except hooks.HookFailed as error:
            log.info("postStart hook of %s failed: %s", spec["name"], error)
            self.events.container(spec["name"], "Warning", "FailedPostStartHook", "PostStartHook failed")
            container = Container(id, spec["name"], "", "running", 0, 0)
            grace = grace_period(pod, spec)
            await kill_container(self.host, self.events, pod, container, grace, "FailedPostStartHook", ip)
            raise StartFailed(Waiting("PostStartHookError", str(error))) from error
