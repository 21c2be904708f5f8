"""Turns a pod's spec into the runtime's sandbox and container configurations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from kybern.api.types import Object
from kybern.kubelet import cgroups, resources, security
from kybern.kubelet.config import Config
from kybern.kubelet.environment import (
    ConfigError,
    Environment,
    ObjectSource,
    expand,
    expand_all,
    service_variables,
    visible_services,
)
from kybern.kubelet.names import Names
from kybern.kubelet.runtime import state
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.sync import container_hash
from kybern.kubelet.volumes.manager import Volumes

_PROTOCOLS = {"TCP": cri.TCP, "UDP": cri.UDP, "SCTP": cri.SCTP}
_PROPAGATION = {
    "HostToContainer": cri.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": cri.PROPAGATION_BIDIRECTIONAL,
}
MESSAGE_PATH = "/dev/termination-log"


@dataclass(slots=True)
class Builder:
    """Builds configurations for one node. `services` gives all services; empty without an API server."""

    config: Config
    names: Names
    objects: ObjectSource
    volumes: Volumes
    memory_capacity: int
    services: Callable[[], Iterable[Object]]

    def sandbox(self, pod: Object, attempt: int) -> cri.PodSandboxConfig:
        """The pod's home: names, network, logs and security shared by its containers."""
        meta, spec = pod["metadata"], pod["spec"]
        host_network = bool(spec.get("hostNetwork"))
        containers = resources.containers(pod)
        ports = [] if host_network else [p for c in containers for p in c.get("ports") or [] if p.get("hostPort")]
        sysctls = (spec.get("securityContext") or {}).get("sysctls") or []
        return cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(
                name=meta["name"], uid=meta["uid"], namespace=meta["namespace"], attempt=attempt
            ),
            hostname="" if host_network else self._hostname(pod),
            log_directory=str(self.config.paths.logs(pod)),
            dns_config=self.names.dns_config(pod),
            port_mappings=[
                cri.PortMapping(
                    protocol=_PROTOCOLS[port.get("protocol") or "TCP"],
                    container_port=port["containerPort"],
                    host_port=port["hostPort"],
                    host_ip=port.get("hostIP") or "",
                )
                for port in ports
            ],
            labels={**(meta.get("labels") or {}), **_pod_labels(pod)},
            annotations=meta.get("annotations") or {},
            linux=cri.LinuxPodSandboxConfig(
                cgroup_parent=cgroups.parent(self.config.cgroup_root, pod) if self.config.cgroups_per_qos else "",
                security_context=security.sandbox_context(pod, containers, self.config.seccomp_root),
                sysctls={sysctl["name"]: sysctl["value"] for sysctl in sysctls},
            ),
        )

    def _hostname(self, pod: Object) -> str:
        name, domain = self.names.hostname(pod), self.names.domain(pod)
        return f"{name}.{domain}"[:64] if domain and pod["spec"].get("setHostnameAsFQDN") else name

    async def container(
        self,
        pod: Object,
        container: Object,
        restart_count: int,
        image: cri.Image,
        ips: tuple[str, ...],
        mounted: Mapping[str, Path],
    ) -> cri.ContainerConfig:
        """One container. Raises ConfigError, VolumeError, OSError."""
        name = container["name"]
        variables = await self._environment(pod, container, ips)
        return cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name=name, attempt=restart_count),
            image=cri.ImageSpec(image=image.id, user_specified_image=container.get("image", "")),
            command=expand_all(container.get("command") or [], variables),
            args=expand_all(container.get("args") or [], variables),
            working_dir=container.get("workingDir") or "",
            envs=[cri.KeyValue(key=key, value=value) for key, value in variables.items()],
            mounts=self._mounts(pod, container, restart_count, ips, mounted, variables),
            labels={**_pod_labels(pod), state.CONTAINER_NAME: name},
            annotations=_annotations(pod, container, restart_count),
            log_path=f"{name}/{restart_count}.log",
            stdin=bool(container.get("stdin")),
            stdin_once=bool(container.get("stdinOnce")),
            tty=bool(container.get("tty")),
            linux=cri.LinuxContainerConfig(
                resources=resources.linux_resources(pod, container, self.memory_capacity),
                security_context=security.container_context(
                    pod, container, image, self.config.seccomp_root, seccomp_default=self.config.seccomp_default
                ),
            ),
        )

    async def _environment(self, pod: Object, container: Object, ips: tuple[str, ...]) -> dict[str, str]:
        links = pod["spec"].get("enableServiceLinks") is not False
        services = visible_services(self.services(), pod["metadata"]["namespace"], links)
        environment = Environment(
            pod,
            container,
            self.objects,
            services=service_variables(services),
            ips=ips,
            host_ips=self.config.node_ips,
            allocatable=self.volumes.allocatable,
        )
        return await environment.build()

    def _mounts(
        self,
        pod: Object,
        container: Object,
        restart_count: int,
        ips: tuple[str, ...],
        mounted: Mapping[str, Path],
        variables: Mapping[str, str],
    ) -> list[cri.Mount]:
        uid, name, paths = pod["metadata"]["uid"], container["name"], self.config.paths
        result, taken = [], set()
        read_only_volumes = _read_only_volumes(pod)
        for index, mount in enumerate(container.get("volumeMounts") or []):
            source = mounted.get(mount["name"])
            if source is None:
                raise ConfigError(f'cannot find volume "{mount["name"]}" to mount into container "{name}"')
            sub_path = mount.get("subPath") or expand(mount.get("subPathExpr") or "", variables)
            if sub_path:
                source = self.volumes.sub_path(uid, mount["name"], source, sub_path, name, index)
            target = os.path.join("/", mount["mountPath"])
            taken.add(os.path.normpath(target))
            result.append(
                cri.Mount(
                    container_path=target,
                    host_path=str(source),
                    readonly=bool(mount.get("readOnly")) or mount["name"] in read_only_volumes,
                    propagation=_PROPAGATION.get(mount.get("mountPropagation") or "", cri.PROPAGATION_PRIVATE),
                )
            )
        if "/etc/hosts" not in taken and (ips or pod["spec"].get("hostNetwork")):
            hosts = paths.hosts(uid)
            hosts.parent.mkdir(parents=True, exist_ok=True)
            hosts.write_text(self.names.hosts(pod, ips))
            hosts.chmod(0o644)
            result.append(cri.Mount(container_path="/etc/hosts", host_path=str(hosts)))
        message = container.get("terminationMessagePath") or MESSAGE_PATH
        if message not in taken:
            file = paths.termination_message(uid, name, restart_count)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            # Whatever user the container runs as may write its last words.
            file.chmod(0o666)
            result.append(cri.Mount(container_path=message, host_path=str(file)))
        return result


def _read_only_volumes(pod: Object) -> set[str]:
    """Volumes that a container can't write to whatever its mount says."""
    kinds = ("configMap", "secret", "downwardAPI", "projected")
    return {v["name"] for v in pod["spec"].get("volumes") or [] if any(v.get(kind) for kind in kinds)}


def _pod_labels(pod: Object) -> dict[str, str]:
    meta = pod["metadata"]
    return {state.POD_NAME: meta["name"], state.POD_NAMESPACE: meta["namespace"], state.POD_UID: meta["uid"]}


def _annotations(pod: Object, container: Object, restart_count: int) -> dict[str, str]:
    grace = pod["spec"].get("terminationGracePeriodSeconds")
    result = {
        state.HASH: container_hash(container),
        state.RESTART_COUNT: str(restart_count),
        state.MESSAGE_PATH: container.get("terminationMessagePath") or MESSAGE_PATH,
        state.MESSAGE_POLICY: container.get("terminationMessagePolicy") or "File",
        state.GRACE_PERIOD: str(30 if grace is None else grace),
    }
    if container.get("ports"):
        result[state.CONTAINER_PORTS] = orjson.dumps(container["ports"]).decode()
    return result
