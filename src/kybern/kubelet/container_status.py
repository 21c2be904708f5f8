"""The status of each container in a pod's status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kybern.api.types import Object
from kybern.kubelet.resources import ephemeral
from kybern.kubelet.runtime.state import Container, PodState
from kybern.kubelet.sync import is_sidecar
from kybern.process.clock import format_time

_MAX_MESSAGES = 12 * 1024
"""Bytes of termination messages a pod may have in all."""
_GONE = "The container could not be located when the pod was terminated"
_DELETED = "The container could not be located when the pod was deleted."


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probes say of a running container."""

    started: bool = True
    ready: bool = True


class Surroundings(Protocol):
    """The part of status.Facts that matters here."""

    @property
    def previous(self) -> Object: ...

    @property
    def waiting(self) -> Mapping[str, Waiting]: ...

    @property
    def probes(self) -> Mapping[str, Probed]: ...

    @property
    def runtime(self) -> str: ...

    @property
    def stopped(self) -> bool: ...


def statuses(pod: Object, specs: list[Object], state: PodState, facts: Surroundings, field: str) -> list[Object]:
    """Statuses in the order of `specs`. `field` is where the previous ones are."""
    old = {status["name"]: status for status in facts.previous.get(field) or []}
    is_init = field == "initContainerStatuses"
    return [_status(pod, spec, state, facts, old.get(spec["name"], {}), is_init) for spec in specs]


def _status(pod: Object, spec: Object, state: PodState, facts: Surroundings, old: Object, is_init: bool) -> Object:
    name = spec["name"]
    attempts = state.attempts(name)
    current = attempts[0] if attempts else None
    waiting = facts.waiting.get(name)
    result: Object = {"name": name, "state": {}, "lastState": {}, "ready": False}
    result["restartCount"] = current.restart_count if current else old.get("restartCount", 0)
    if not current and _vanished(pod, old, facts):
        result["restartCount"] += 1
    result["image"] = (current.image if current else "") or spec.get("image", "")
    result["imageID"] = current.image_ref if current else old.get("imageID", "")
    if current:
        result["containerID"] = f"{facts.runtime}://{current.id}"
    elif old.get("containerID"):
        result["containerID"] = old["containerID"]
    result["started"] = False
    if current and current.running:
        probed = facts.probes.get(current.id, Probed())
        result["state"] = {"running": {"startedAt": format_time(current.started_at)}}
        result["started"] = probed.started
        result["ready"] = probed.started and probed.ready and (not is_init or is_sidecar(spec))
    elif waiting:
        result["state"] = {"waiting": _waiting(waiting)}
    elif current and current.phase == "exited":
        result["state"] = {"terminated": terminated(current, facts.runtime)}
        result["ready"] = is_init and not is_sidecar(spec) and current.exit_code == 0
    else:
        result["state"] = _missing(pod, old, facts, is_init)
    result["lastState"] = _last(result, attempts, old, facts.runtime)
    if spec in ephemeral(pod):  # nothing probes them
        result["ready"] = False
        del result["started"]
    _describe(result, pod, spec)
    return result


def _waiting(waiting: Waiting) -> Object:
    return {"reason": waiting.reason, **({"message": waiting.message} if waiting.message else {})}


def _missing(pod: Object, old: Object, facts: Surroundings, is_init: bool) -> Object:
    """The state of a container the runtime doesn't have."""
    before: Object = old.get("state") or {}
    if "terminated" in before:
        return before
    if facts.stopped and "running" in before:
        return {"terminated": lost(_GONE)}
    inits = pod["spec"].get("initContainers")
    return {"waiting": {"reason": "PodInitializing" if inits or is_init else "ContainerCreating"}}


def _vanished(pod: Object, old: Object, facts: Surroundings) -> bool:
    """Whether a container that ran when last seen is gone, and will be replaced."""
    return "running" in (old.get("state") or {}) and not facts.stopped and not pod["metadata"].get("deletionTimestamp")


def lost(message: str) -> Object:
    """The end of a container that nobody saw end."""
    return {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": message,
        "startedAt": None,
        "finishedAt": None,
    }


def settle(pod: Object, inits: list[Object], ordinary: list[Object]) -> None:
    """Of a stopped pod nothing waits: what it never saw end is lost, except init containers whose turn never came and
    what they held back."""
    begun = [i for i, status in enumerate(inits) if "waiting" not in status["state"] or status["lastState"]]
    open_ = inits[: begun[-1] + 1] if begun else inits[:1]
    for status in [*open_, *(ordinary if _is_initialized(pod, inits, ordinary) else [])]:
        if "terminated" not in status["state"]:
            status["state"] = {"terminated": lost(_GONE)}


def _is_initialized(pod: Object, inits: list[Object], ordinary: list[Object]) -> bool:
    if not inits or any("waiting" not in status["state"] or status["lastState"] for status in ordinary):
        return True
    if is_sidecar(pod["spec"]["initContainers"][-1]):
        return bool(inits[-1]["started"])
    return bool((inits[-1]["state"].get("terminated") or {}).get("exitCode") == 0)


def shorten(statuses: list[Object]) -> None:
    """Keep the termination messages of all of a pod's containers below a common limit, each within its share."""
    share = _MAX_MESSAGES // max(len(statuses), 1)
    for end in (status[field].get("terminated") for status in statuses for field in ("state", "lastState")):
        if end and len(text := (end.get("message") or "").encode()) > share:
            end["message"] = text[:share].decode("utf-8", "ignore")


def terminated(container: Container, runtime: str) -> Object:
    """How an attempt ended."""
    result: Object = {"exitCode": container.exit_code}
    result["reason"] = container.reason or ("Completed" if container.exit_code == 0 else "Error")
    if container.message:
        result["message"] = container.message
    result["startedAt"] = format_time(container.started_at)
    result["finishedAt"] = format_time(container.finished_at)
    result["containerID"] = f"{runtime}://{container.id}"
    return result


def _last(result: Object, attempts: list[Container], old: Object, runtime: str) -> Object:
    """The end of the attempt before the one shown."""
    shown = attempts[1:] if "waiting" not in result["state"] else attempts
    for attempt in shown:
        if attempt.phase == "exited":
            return {"terminated": terminated(attempt, runtime)}
    if not attempts and "running" in (old.get("state") or {}) and "waiting" in result["state"]:
        return {"terminated": lost(f"{_DELETED}  The container used to be Running")}
    return dict(old.get("lastState") or {}) if result["restartCount"] or not attempts else {}


def _describe(result: Object, pod: Object, spec: Object) -> None:
    """Add what is told of every container whatever its state: resources and mounts in force."""
    resources = spec.get("resources") or {}
    if resources.get("requests"):
        result["allocatedResources"] = dict(resources["requests"])
    if resources.get("requests") or resources.get("limits"):
        result["resources"] = {kind: resources[kind] for kind in ("limits", "requests") if resources.get(kind)}
    if not spec.get("volumeMounts"):
        return
    result["volumeMounts"] = []
    for mount in spec["volumeMounts"]:
        shown = {"mountPath": mount["mountPath"], "name": mount["name"]}
        if mount.get("readOnly"):
            shown |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
        result["volumeMounts"].append(shown)
