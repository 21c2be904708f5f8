"""Images for containers: present already, or pulled as the pull policy says, with backoff after a failure.

Source: "Images" concept page; reasons and messages are upstream's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import re
from collections.abc import Callable

import orjson

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.kubelet.backoff import Backoff
from kybern.kubelet.environment import ObjectSource
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.runtime.client import RuntimeClient, RuntimeFailure
from kybern.process.clock import clock, monotonic

log = logging.getLogger(__name__)

PARALLEL_PULLS = 16

Say = Callable[[str, str, str], None]
"""Records an event on a container: type, reason, message."""

_REFERENCE = re.compile(
    r"^(?:(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?)/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>[A-Za-z0-9_+.-]+:[0-9a-fA-F]{32,}))?$"
)


class ImageError(Exception):
    """An image can't be had now. `reason` is the waiting reason, the message upstream's; retried later."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def pull_policy(container: Object) -> str:
    """The policy set, or upstream's default: Always for the tag latest."""
    if policy := container.get("imagePullPolicy"):
        return str(policy)
    match = _REFERENCE.match(container.get("image", ""))
    return "Always" if match and not match["digest"] and (match["tag"] or "latest") == "latest" else "IfNotPresent"


def readable(count: int) -> str:
    """A size as upstream's Pulled event tells it."""
    return f"{count} bytes"


class Images:
    """The image manager of a node; with `serialize` it pulls one image at a time."""

    def __init__(self, client: RuntimeClient, objects: ObjectSource, *, serialize: bool = True) -> None:
        self.client, self.objects = client, objects
        self._backoff = Backoff()
        self._failed: dict[tuple[str, str], tuple[float, str]] = {}
        """(pod UID, image) -> when its pull failed, and why."""
        self._pulling = asyncio.Semaphore(1 if serialize else PARALLEL_PULLS)

    async def ensure(self, pod: Object, container: Object, say: Say, sandbox: cri.PodSandboxConfig) -> cri.Image:
        """The image, present on the node. Raises ImageError."""
        name, policy = container.get("image", ""), pull_policy(container)
        if not _REFERENCE.match(name):
            why = f'couldn\'t parse image name "{name}": invalid reference format'
            message = f'Failed to apply default image tag "{name}": {why}'
            say("Warning", "InspectFailed", message)
            raise ImageError("InvalidImageName", message)
        try:
            found = await self.client.image_status(name)
        except RuntimeFailure as error:
            message = f'Failed to inspect image "{name}": {error.described}'
            say("Warning", "Failed", message)
            raise ImageError("ImageInspectError", message) from error
        if found and policy != "Always":
            text = f'Container image "{name}" already present on machine and can be accessed by the pod'
            say("Normal", "Pulled", text)
            return found
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            say("Warning", "ErrImageNeverPull", message)
            raise ImageError("ErrImageNeverPull", message)
        return await self._pull(pod, name, say, sandbox)

    async def _pull(self, pod: Object, name: str, say: Say, sandbox: cri.PodSandboxConfig) -> cri.Image:
        key = (pod["metadata"]["uid"], name)
        failed_at, why = self._failed.get(key, (0.0, ""))
        if self._backoff.remaining(key, failed_at, clock.time()) > 0:
            message = f'Back-off pulling image "{name}"'
            say("Normal", "BackOff", message)
            raise ImageError("ImagePullBackOff", f"{message}: ErrImagePull: {why}")
        say("Normal", "Pulling", f'Pulling image "{name}"')
        asked = monotonic()
        async with self._pulling:
            began = monotonic()
            try:
                await self._try_pull(pod, name, sandbox)
                image = await self.client.image_status(name)
                if image is None:
                    raise RuntimeFailure("NOT_FOUND", f"image {name} is missing after its pull")
            except RuntimeFailure as error:
                now = clock.time()
                self._failed[key] = (now, error.described)
                self._backoff.advance(key, now, now)
                say("Warning", "Failed", f'Failed to pull image "{name}": {error.described}')
                raise ImageError("ErrImagePull", error.described) from error
        self._failed.pop(key, None)
        took, waited = monotonic() - began, monotonic() - asked
        say(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{name}" in {took:.3f}s ({waited:.3f}s including waiting). '
            f"Image size: {readable(image.size)}.",
        )
        return image

    async def _try_pull(self, pod: Object, name: str, sandbox: cri.PodSandboxConfig) -> None:
        """With each credential that fits, else without any."""
        last: RuntimeFailure | None = None
        for auth in await self._credentials(pod, name) or [None]:
            try:
                await self.client.pull_image(name, auth, sandbox)
                return
            except RuntimeFailure as error:
                last = error
        if last:
            raise last

    async def _credentials(self, pod: Object, image: str) -> list[cri.AuthConfig | None]:
        result: list[cri.AuthConfig | None] = []
        for reference in pod["spec"].get("imagePullSecrets") or []:
            with contextlib.suppress(APIError, ValueError, KeyError):
                secret = await self.objects.secret(pod["metadata"]["namespace"], reference["name"])
                data = orjson.loads(base64.b64decode((secret.get("data") or {})[".dockerconfigjson"]))
                for registry, entry in data["auths"].items():
                    if _serves(registry, image):
                        result.append(_auth(entry))
        return result

    def forget(self, uid: str) -> None:
        """The pod is gone: drop its failures."""
        for key in [key for key in self._failed if key[0] == uid]:
            del self._failed[key]
            self._backoff.reset(key)


def _serves(registry: str, image: str) -> bool:
    host = registry.removeprefix("https://").removeprefix("http://").rstrip("/")
    first = image.split("/", 1)[0]
    named = "." in first or ":" in first or first == "localhost"
    where = image if named and "/" in image else f"docker.io/{image}"
    if "docker.io" in host:
        return where.startswith("docker.io/")
    return where == host or where.startswith((host + "/", host + ":"))


def _auth(entry: Object) -> cri.AuthConfig:
    user, password = entry.get("username", ""), entry.get("password", "")
    if not user and entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    return cri.AuthConfig(username=user, password=password, identity_token=entry.get("identitytoken", ""))
