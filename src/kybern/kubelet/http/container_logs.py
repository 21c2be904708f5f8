"""/containerLogs/{namespace}/{pod}/{container}: which attempt's log is meant, and sending it."""

from __future__ import annotations

from pathlib import Path

from kybern.api.types import Object
from kybern.kubelet import resources
from kybern.kubelet.http import logs
from kybern.kubelet.http.message import Refused, Request, Response
from kybern.kubelet.http.served import Served, newest
from kybern.process.clock import clock

_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_PULLING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


async def serve(kubelet: Served, request: Request, namespace: str, pod: str, container: str) -> Response:
    """Raises Refused: 404 for an unknown pod or container, 400 where there is no log."""
    options = logs.Options.of(request.query, clock.time())
    worker = kubelet.pods.find(namespace, pod)
    if worker is None:
        raise Refused(404, f'pod "{pod}" does not exist\n')
    specs = [*resources.containers(worker.pod), *resources.ephemeral(worker.pod)]
    if container not in (spec["name"] for spec in specs):
        raise Refused(404, f'container "{container}" not found in pod "{pod}"\n')
    identity = attempt(newest(worker)["status"], pod, container, previous=options.previous)
    wanted = identity.rpartition("://")[2]

    def phase() -> str:
        state = kubelet.host.cache.get(worker.uid)
        return next((found.phase for found in state.containers if found.id == wanted), "")

    path = next((c.log_path for c in kubelet.host.cache.get(worker.uid).containers if c.id == wanted), "")
    if not path:
        raise Refused(400, f"unable to retrieve container logs for {identity}")
    try:
        file = logs.open_log(Path(path))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise Refused(400, f'failed to try resolving symlinks in path "{path}": lstat {path}: {why}') from None
    body = logs.read(file, Path(path), options, lambda: phase() in ("exited", ""))
    return Response(200, body, "text/plain")


def attempt(status: Object, pod: str, container: str, *, previous: bool) -> str:
    """The id, with its runtime's scheme, of the attempt at a container whose log is meant: the running one, else the
    last that ended, or the one before. Raises Refused (400)."""
    known = [found for field in _STATUSES for found in status.get(field) or () if found["name"] == container]
    if not known:
        raise Refused(400, f'container "{container}" in pod "{pod}" is not available')
    state, last = known[0].get("state") or {}, (known[0].get("lastState") or {}).get("terminated")
    what = f'container "{container}" in pod "{pod}"'
    if previous:
        if not last or not last.get("containerID"):
            raise Refused(400, f"previous terminated {what} not found")
        return str(last["containerID"])
    if "running" in state:
        return str(known[0]["containerID"])
    ended = [end["containerID"] for end in (state.get("terminated"), last) if end and end.get("containerID")]
    if ended:
        return str(ended[0])
    if "terminated" in state or last:
        raise Refused(400, f"{what} is terminated")
    if "waiting" in state:
        reason = state["waiting"].get("reason", "")
        raise Refused(400, f"{what} is waiting to start: {_PULLING.get(reason, reason)}")
    raise Refused(400, f"{what} is waiting to start - no logs yet")
