"""The kubelet put together: what it is made of, in which order its parts begin, and how it ends.

    runtime answers -> its pods are listed -> sources may speak -> workers
    API answers     -> the node is registered -> statuses, lease, pods of the API
    pod CIDR known  -> CNI configuration -> the runtime's network is ready -> the node is Ready
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.kubelet import admission, machine, node_status, termination
from kybern.kubelet.api_side import APISide
from kybern.kubelet.builder import Builder
from kybern.kubelet.config import Config
from kybern.kubelet.host import Host
from kybern.kubelet.images import Images
from kybern.kubelet.log_rotation import LogRotation
from kybern.kubelet.names import Names, read_resolver
from kybern.kubelet.objects import NoObjects
from kybern.kubelet.pods import Pods
from kybern.kubelet.recorder import log_only
from kybern.kubelet.runtime.cache import RuntimeCache
from kybern.kubelet.runtime.client import RuntimeClient, RuntimeFailure
from kybern.kubelet.runtime_health import RuntimeHealth
from kybern.kubelet.server import Server
from kybern.kubelet.sources.files import FileSource
from kybern.kubelet.sources.http import HTTPSource
from kybern.kubelet.tokens import NoTokens
from kybern.kubelet.volumes.manager import Volumes
from kybern.network import cni, masquerade
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)

IMAGES_PERIOD = 30.0
"""Seconds between looks at which images the node has."""


class Kubelet:
    """`run` until cancelled. Without a client only manifests say which pods there are."""

    def __init__(self, config: Config, client: Client | None) -> None:
        self.config, self.client = config, client
        self.machine = machine.read()
        self.runtime = RuntimeClient(config.runtime_endpoint)
        cache = RuntimeCache(self.runtime, partial(termination.message, config.paths))
        self.health = RuntimeHealth(self.runtime, cache, config.runtime_endpoint)
        self.health.on_change = self._health_changed
        self.api = APISide(client, config, self.facts) if client else None
        self.allocatable: Mapping[str, str] = node_status.allocatable(
            config, self.machine, machine.usage(config.paths.root)
        )
        self._images: list[Object] = []
        self._cidrs: tuple[str, ...] = ()
        self._listed = asyncio.Event()
        self.host = self._assemble_host(cache)
        self.pods = self._assemble_pods()
        self.server = Server(self, config)

    def _assemble_host(self, cache: RuntimeCache) -> Host:
        config, api = self.config, self.api
        objects = api.objects if api else NoObjects()
        tokens = api.tokens if api else NoTokens()
        volumes = Volumes(config.paths, objects, tokens, self.allocatable, config.node_ips)
        names = Names(config.cluster_dns, config.cluster_domain, read_resolver(config.resolv_conf))
        services = api.services.list if api else list
        host = Host(
            config=config,
            runtime=self.runtime,
            cache=cache,
            builder=Builder(config, names, objects, volumes, self.machine.memory, services),
            images=Images(self.runtime, objects, serialize=config.serialize_image_pulls),
            volumes=volumes,
            record=api.record if api else log_only,
            network_error=lambda: self.health.network_error,
        )
        if api:
            host.api_status, host.report, host.forget_tokens = api.status_of, api.statuses.report, api.tokens.forget
        return host

    def _assemble_pods(self) -> Pods:
        config, api = self.config, self.api
        wanted = {"file": config.manifest_path, "http": config.manifest_url, "api": self.client}
        pods = Pods(self.host, {source for source, given in wanted.items() if given})
        pods.admit = self._admit
        if api:
            pods.on_deleted, pods.on_gone = api.statuses.delete, api.forget
            pods.on_static, pods.on_mirrors = api.set_static, api.set_mirrors
            api.nodes.on_change(lambda old, new: self._node_changed(new))
        return pods

    def _admit(self, pod: Object, others: list[Object]) -> admission.Rejection | None:
        return admission.admit(pod, others, self.allocatable, self.api.labels() if self.api else {})

    # What others ask.

    def healthy(self) -> str:
        """What is wrong with the kubelet itself; empty while nothing is."""
        cache = self.host.cache
        return "" if not cache.listed_at or cache.healthy else "the runtime's pods could not be listed for 3 minutes"

    def facts(self) -> node_status.Facts:
        """What the node is like now. Raises OSError."""
        return node_status.Facts(
            now=clock.time(),
            machine=self.machine,
            usage=machine.usage(self.config.paths.root),
            not_ready=self.health.errors(),
            runtime=self.health.described,
            images=self._images,
        )

    # Its life.

    async def run(self) -> None:
        """Until cancelled. The pods run on. Raises OperatorError where a port or directory can't be had."""
        self._make_directories()
        try:
            await self.server.start()
            self.config.port = self.server.port
            if self.config.pod_cidr and not self.client:
                self._set_cidrs((self.config.pod_cidr,))
            async with asyncio.TaskGroup() as group:
                for name, part in self._parts().items():
                    group.create_task(part, name=name)
        finally:
            await self._close()

    def _parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        config = self.config
        parts = {
            "runtime": self._run_runtime(),
            "housekeeping": self.pods.housekeep(),
            "log rotation": LogRotation(
                self.runtime, self.host.cache, config.container_log_max_size, config.container_log_max_files
            ).run(),
        }
        if config.manifest_path:
            files = FileSource(config.manifest_path, config.node_name, self.pods.changed)
            parts["manifests"] = self._once_listed(files.run())
        if config.manifest_url:
            url = HTTPSource(
                config.manifest_url, config.manifest_url_headers, config.node_name, self.pods.changed,
                config.http_check_period,
            )  # fmt: skip
            parts["manifest URL"] = self._once_listed(url.run())
        parts |= self._rotations()
        if self.api:
            parts["api"] = self.api.run(self._listed, self.pods.changed)
            parts["images"] = self._follow_images()
            self.api.node.say("Starting", "Starting kubelet.")
        return parts

    def _rotations(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What keeps certificates of the cluster's from running out."""
        config, client, parts = self.config, self.client, {}
        if client and (config.rotate_certificates or config.rotate_server_certificates):
            from kybern.kubelet import certificates

            if config.rotate_certificates:
                parts["client certificate"] = certificates.client_rotation(config, client).run()
            if config.rotate_server_certificates and not config.tls_cert_file:
                parts["server certificate"] = certificates.server_rotation(config, client, self.server.use).run()
        return parts

    async def _run_runtime(self) -> None:
        """Wait for the runtime and for its first list: pods that run already are adopted, not started again."""
        await self.health.wait()
        self.host.runtime_name = self.health.name
        # The CIDR is usually known by now, and the runtime, just started, has the configuration written for it.
        self.health.hurry()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.health.run(), name="runtime health")
            while not self.host.cache.listed_at:
                try:
                    await self.host.cache.relist()
                except RuntimeFailure as error:
                    log.warning("listing the runtime's pods: %s", error)
                    await asyncio.sleep(1)
            self._listed.set()
            group.create_task(self.host.cache.run(), name="runtime cache")

    async def _once_listed(self, part: Coroutine[Any, Any, None]) -> None:
        try:
            await self._listed.wait()
            await part
        finally:
            part.close()

    async def _follow_images(self) -> None:
        """For the node's status; a change is told with the next report."""
        await self._listed.wait()
        while True:
            try:
                self._images = node_status.images(await self.runtime.list_images())
            except RuntimeFailure as error:
                log.debug("listing images: %s", error)
            await asyncio.sleep(IMAGES_PERIOD)

    def _make_directories(self) -> None:
        paths = self.config.paths
        try:
            for path in (paths.root, paths.pods, paths.pod_logs, paths.container_logs):
                path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OperatorError(
                f"can't make {error.filename}: {error.strerror}; free it, or choose another --root-dir or --pod-log-dir"
            ) from error

    async def _close(self) -> None:
        await self.pods.close()
        await self.server.close()
        if self.api:
            await self.api.close()
        await self.runtime.close()

    # The network.

    def _node_changed(self, node: Object | None) -> None:
        if self.api and node:
            self.api.node.seen(node)
            spec = node.get("spec") or {}
            if found := spec.get("podCIDRs") or [cidr for cidr in [spec.get("podCIDR")] if cidr]:
                self._set_cidrs(tuple(found))

    def _set_cidrs(self, cidrs: tuple[str, ...]) -> None:
        """The addresses of this node's pods are known: tell the runtime's network plugins."""
        if cidrs == self._cidrs:
            return
        self._cidrs = cidrs
        if self.config.cni_conf_dir:
            try:
                masquerade.install(cidrs, self.config.non_masquerade_cidrs)
            except masquerade.MasqueradeFailed as error:
                log.error("pods don't reach beyond the cluster: %s", error)
            try:
                data_dir = self.config.paths.root / "cni"
                if cni.write(self.config.cni_conf_dir, cidrs, data_dir, self.config.cni_mtu):
                    log.info("pods get addresses of %s", ", ".join(cidrs))
            except OSError as error:
                log.error("no pod network: can't write to --cni-conf-dir: %s", error)
        self.health.hurry()

    def _health_changed(self) -> None:
        if self.api:
            self.api.node.wake()
        if not self.health.network_error:
            for worker in self.pods.workers.values():
                worker.wake()
