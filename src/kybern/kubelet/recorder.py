"""Events about pods, as upstream's kubelet words them; logged where there is no API server to take them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kybern.api.types import Object

log = logging.getLogger(__name__)

Recorder = Callable[[Object, str, str, str, str], None]
"""Takes object or reference, type, reason, message, field path."""


def log_only(obj: Object, type_: str, reason: str, message: str, field_path: str) -> None:
    """Into the log only: `default/web spec.containers{web}: Started: Container started`."""
    meta = obj.get("metadata") or obj
    name = "/".join(part for part in (meta.get("namespace"), meta.get("name")) if part)
    log.info("%s: %s: %s", f"{name} {field_path}".rstrip(), reason, message)


def field_path(pod: Object, container: str) -> str:
    """Where in the pod's spec a container is: `spec.containers{web}`."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        if any(spec["name"] == container for spec in pod["spec"].get(field) or []):
            return f"spec.{field}{{{container}}}"
    return ""


class PodEvents:
    """The events of one pod."""

    def __init__(self, recorder: Recorder, pod: Callable[[], Object]) -> None:
        self._recorder, self._pod = recorder, pod

    def pod(self, type_: str, reason: str, message: str) -> None:
        """About the pod as a whole."""
        self._recorder(self._reference(), type_, reason, message, "")

    def container(self, name: str, type_: str, reason: str, message: str) -> None:
        """About one of its containers."""
        self._recorder(self._reference(), type_, reason, message, field_path(self._pod(), name))

    def _reference(self) -> Object:
        meta = self._pod()["metadata"]
        # A static pod is known to the API by its mirror, which carries the static pod's UID as an annotation.
        uid = (meta.get("annotations") or {}).get("kubernetes.io/config.hash") or meta["uid"]
        return {
            "kind": "Pod",
            "apiVersion": "v1",
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": uid,
            "resourceVersion": meta.get("resourceVersion", ""),
        }
