"""The contract of a volume type, and what it may use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kybern.api.types import Object
from kybern.kubelet.environment import ObjectSource
from kybern.kubelet.security import effective

DEFAULT_MODE = 0o644


class VolumeError(Exception):
    """A volume can't be set up now; the message goes into a FailedMount event."""


class TokenSource(Protocol):
    """Where service account tokens come from."""

    async def token(self, pod: Object, audience: str, expiration_seconds: int) -> str:
        """A token that is valid for a good while yet. Raises APIError."""


@dataclass(frozen=True, slots=True)
class Request:
    """One volume of one pod, and all that a plugin may need to set it up."""

    pod: Object
    volume: Object
    """The volume in the pod's spec: `name` and one source."""
    path: Path
    """The volume's own directory, below the pod's."""
    objects: ObjectSource
    tokens: TokenSource
    allocatable: Mapping[str, str]
    ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()

    @property
    def namespace(self) -> str:
        return str(self.pod["metadata"]["namespace"])

    @property
    def fs_group(self) -> int | None:
        """The group that owns the pod's volumes, if it asked for one."""
        return (self.pod["spec"].get("securityContext") or {}).get("fsGroup")

    @property
    def fs_user(self) -> int | None:
        """The user all containers run as, if they agree: it then owns its tokens."""
        users = {effective(self.pod, container, "runAsUser") for container in self.pod["spec"].get("containers") or []}
        return users.pop() if len(users) == 1 else None


class Plugin(Protocol):
    """A volume type. Plugins hold no state: what is set up is on the disk, so that a restart finds it."""

    source: str
    """The field of the volume's spec, e.g. `configMap`."""
    directory: str
    """Its name on disk, e.g. `configmap`; upstream's."""
    refreshed: bool
    """Whether `set_up` is to be called again while the pod runs, to follow changes."""

    async def set_up(self, request: Request) -> Path:
        """Make the volume ready and give the host path to mount. Idempotent. Raises VolumeError, OSError, APIError."""


def own_by_group(path: Path, group: int | None, *, writable: bool) -> None:
    """Give a tree to a pod's fsGroup, as upstream does: group access, set-group-id directories."""
    if group is None:
        return
    for parent, _, files in os.walk(path):
        os.chown(parent, -1, group)
        os.chmod(parent, os.stat(parent).st_mode & 0o7777 | (0o2770 if writable else 0o2550))
        for name in files:
            file = os.path.join(parent, name)
            if not os.path.islink(file):
                os.chown(file, -1, group)
                os.chmod(file, os.stat(file).st_mode & 0o7777 | (0o660 if writable else 0o440))
