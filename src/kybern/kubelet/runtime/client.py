"""CRI v1 calls to the runtime's unix socket. Reconnects by itself; every call has a deadline.

Source: KEP-2041 (CRI v1) and the interface's own field comments.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import grpc
import grpc.aio

from kybern.kubelet.runtime._generated import cri_pb2 as cri

T = TypeVar("T")

_OPTIONS = [
    # The path of a socket is not a legal :authority, and Go's gRPC servers check that.
    ("grpc.default_authority", "localhost"),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3000),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
]

DEADLINE = 120.0
"""Seconds a call may take (upstream's --runtime-request-timeout is 2 minutes)."""
PULL_DEADLINE = 3600.0


class RuntimeFailure(Exception):
    """The runtime refused or failed a call. `code` is the gRPC status' name, e.g. "NOT_FOUND", "UNAVAILABLE"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def not_found(self) -> bool:
        """Whether the sandbox, container or image does not exist."""
        return self.code == "NOT_FOUND" or "not found" in self.message or "does not exist" in self.message

    @property
    def unavailable(self) -> bool:
        """Whether the runtime could not be reached."""
        return self.code == "UNAVAILABLE"

    @property
    def described(self) -> str:
        """As upstream prints it in events: `rpc error: code = NotFound desc = ...`."""
        name = "".join(word.capitalize() for word in self.code.split("_"))
        return f"rpc error: code = {name} desc = {self.message}"


class RuntimeClient:
    """The RuntimeService and ImageService of one runtime. All methods raise `RuntimeFailure`."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint`: `unix:///run/containerd/containerd.sock`, or the bare path."""
        target = endpoint if "://" in endpoint else f"unix://{endpoint}"
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._methods: dict[str, Any] = {}

    async def close(self) -> None:
        await self._channel.close(None)

    async def _call(
        self, name: str, request: Any, answer: type[T], timeout: float = DEADLINE, service: str = "Runtime"
    ) -> T:
        method = self._methods.get(name)
        if method is None:
            method = self._methods[name] = self._channel.unary_unary(
                f"/runtime.v1.{service}Service/{name}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=answer.FromString,  # type: ignore[attr-defined]
            )
        try:
            result: T = await method(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise RuntimeFailure(error.code().name, error.details() or "") from None
        return result

    # The runtime itself.

    async def version(self) -> cri.VersionResponse:
        """Name and version; short deadline, as it is the probe of whether the runtime answers."""
        return await self._call("Version", cri.VersionRequest(version="v1"), cri.VersionResponse, 10)

    async def status(self) -> dict[str, cri.RuntimeCondition]:
        """Conditions by type: RuntimeReady, NetworkReady."""
        answer = await self._call("Status", cri.StatusRequest(), cri.StatusResponse, 10)
        return {condition.type: condition for condition in answer.status.conditions}

    async def update_runtime_config(self, pod_cidr: str) -> None:
        config = cri.RuntimeConfig(network_config=cri.NetworkConfig(pod_cidr=pod_cidr))
        await self._call("UpdateRuntimeConfig", cri.UpdateRuntimeConfigRequest(runtime_config=config), cri.Empty)

    async def events(self) -> AsyncIterator[cri.ContainerEventResponse]:
        """Container events as they happen. Raises RuntimeFailure code UNIMPLEMENTED where there are none."""
        method = self._channel.unary_stream(
            "/runtime.v1.RuntimeService/GetContainerEvents",
            request_serializer=cri.Empty.SerializeToString,
            response_deserializer=cri.ContainerEventResponse.FromString,
        )
        try:
            async for event in method(cri.Empty()):
                yield event
        except grpc.aio.AioRpcError as error:
            raise RuntimeFailure(error.code().name, error.details() or "") from None

    # Sandboxes.

    async def run_sandbox(self, config: cri.PodSandboxConfig, handler: str = "") -> str:
        """Create and start; returns its id."""
        request = cri.RunPodSandboxRequest(config=config, runtime_handler=handler)
        return (await self._call("RunPodSandbox", request, cri.RunPodSandboxResponse, 2 * DEADLINE)).pod_sandbox_id

    async def stop_sandbox(self, sandbox: str) -> None:
        """Stop its containers and give its network back; idempotent."""
        await self._call("StopPodSandbox", cri.StopPodSandboxRequest(pod_sandbox_id=sandbox), cri.Empty)

    async def remove_sandbox(self, sandbox: str) -> None:
        await self._call("RemovePodSandbox", cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox), cri.Empty)

    async def sandbox_status(self, sandbox: str) -> cri.PodSandboxStatus:
        request = cri.PodSandboxStatusRequest(pod_sandbox_id=sandbox)
        return (await self._call("PodSandboxStatus", request, cri.PodSandboxStatusResponse)).status

    async def list_sandboxes(self, labels: dict[str, str] | None = None) -> Sequence[cri.PodSandbox]:
        request = cri.ListPodSandboxRequest(filter=cri.PodSandboxFilter(label_selector=labels or {}))
        return (await self._call("ListPodSandbox", request, cri.ListPodSandboxResponse)).items

    # Containers.

    async def create_container(
        self, sandbox: str, config: cri.ContainerConfig, sandbox_config: cri.PodSandboxConfig
    ) -> str:
        """Returns the container's id."""
        request = cri.CreateContainerRequest(pod_sandbox_id=sandbox, config=config, sandbox_config=sandbox_config)
        return (await self._call("CreateContainer", request, cri.CreateContainerResponse)).container_id

    async def start_container(self, container: str) -> None:
        await self._call("StartContainer", cri.StartContainerRequest(container_id=container), cri.Empty)

    async def stop_container(self, container: str, grace: int) -> None:
        """SIGTERM, then SIGKILL after `grace` seconds."""
        request = cri.StopContainerRequest(container_id=container, timeout=grace)
        await self._call("StopContainer", request, cri.Empty, DEADLINE + grace)

    async def remove_container(self, container: str) -> None:
        await self._call("RemoveContainer", cri.RemoveContainerRequest(container_id=container), cri.Empty)

    async def list_containers(self, labels: dict[str, str] | None = None) -> Sequence[cri.Container]:
        request = cri.ListContainersRequest(filter=cri.ContainerFilter(label_selector=labels or {}))
        return (await self._call("ListContainers", request, cri.ListContainersResponse)).containers

    async def container_status(self, container: str) -> cri.ContainerStatus:
        request = cri.ContainerStatusRequest(container_id=container)
        return (await self._call("ContainerStatus", request, cri.ContainerStatusResponse)).status

    async def reopen_log(self, container: str) -> None:
        """Make the runtime write to its log path anew, after a rotation moved the file."""
        await self._call("ReopenContainerLog", cri.ReopenContainerLogRequest(container_id=container), cri.Empty)

    async def container_stats(self) -> Sequence[cri.ContainerStats]:
        request = cri.ListContainerStatsRequest(filter=cri.ContainerFilter())
        return (await self._call("ListContainerStats", request, cri.ListContainerStatsResponse)).stats

    # Streaming.

    async def exec_sync(self, container: str, command: Sequence[str], timeout: float) -> tuple[int, bytes]:
        """Run a command and wait `timeout` seconds for its exit code and output; after that, DEADLINE_EXCEEDED."""
        request = cri.ExecSyncRequest(container_id=container, cmd=command, timeout=max(int(timeout), 1))
        answer = await self._call("ExecSync", request, cri.ExecSyncResponse, timeout + 10)
        return answer.exit_code, answer.stdout + answer.stderr

    async def exec_url(self, request: cri.ExecRequest) -> str:
        return (await self._call("Exec", request, cri.StreamingResponse)).url

    async def attach_url(self, request: cri.AttachRequest) -> str:
        return (await self._call("Attach", request, cri.StreamingResponse)).url

    async def port_forward_url(self, request: cri.PortForwardRequest) -> str:
        return (await self._call("PortForward", request, cri.StreamingResponse)).url

    # Images.

    async def _image(self, name: str, request: Any, answer: type[T], timeout: float = DEADLINE) -> T:
        return await self._call(name, request, answer, timeout, "Image")

    async def image_status(self, image: str) -> cri.Image | None:
        """None if the runtime has no such image."""
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=image))
        answer = await self._image("ImageStatus", request, cri.ImageStatusResponse)
        return answer.image if answer.HasField("image") and answer.image.id else None

    async def list_images(self) -> Sequence[cri.Image]:
        return (await self._image("ListImages", cri.ListImagesRequest(), cri.ListImagesResponse)).images

    async def pull_image(self, image: str, auth: cri.AuthConfig | None, sandbox: cri.PodSandboxConfig | None) -> str:
        """Returns the runtime's reference of the image."""
        request = cri.PullImageRequest(image=cri.ImageSpec(image=image), auth=auth, sandbox_config=sandbox)
        return (await self._image("PullImage", request, cri.PullImageResponse, PULL_DEADLINE)).image_ref

    async def remove_image(self, image: str) -> None:
        await self._image("RemoveImage", cri.RemoveImageRequest(image=cri.ImageSpec(image=image)), cri.Empty)

    async def image_filesystems(self) -> Sequence[cri.FilesystemUsage]:
        return (await self._image("ImageFsInfo", cri.Empty(), cri.ImageFsInfoResponse)).image_filesystems
