"""The last words of a container: its termination message file, or the end of its log if it failed without any."""

from __future__ import annotations

from pathlib import Path

from kybern.kubelet.paths import Paths
from kybern.kubelet.runtime import state
from kybern.kubelet.runtime._generated import cri_pb2 as cri

MAX_MESSAGE = 4096
"""Bytes read of the message file: its last ones."""
MAX_LOG, MAX_LOG_LINES = 2048, 80


def message(paths: Paths, status: cri.ContainerStatus) -> str:
    """The termination message of an exited container; what the runtime says of it if there is no other."""
    if status.state != cri.CONTAINER_EXITED:
        return status.message
    labels, annotations = status.labels, status.annotations
    count = int(annotations.get(state.RESTART_COUNT, status.metadata.attempt))
    uid, name = labels.get(state.POD_UID, ""), labels.get(state.CONTAINER_NAME, "")
    text = ""
    if uid and name:
        text = _end(paths.termination_message(uid, name, count))
    fallback = annotations.get(state.MESSAGE_POLICY) == "FallbackToLogsOnError"
    if not text and fallback and status.exit_code != 0 and status.log_path:
        text = _tail(Path(status.log_path))
    return text or status.message


def _end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - MAX_MESSAGE))
            return file.read(MAX_MESSAGE).decode("utf-8", "replace")
    except OSError:
        return ""


def _tail(path: Path) -> str:
    """The last lines of a log in CRI's format, without times and streams."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            size = file.tell()
            # Each line has some 40 bytes that are not shown.
            file.seek(max(0, size - MAX_LOG - MAX_LOG_LINES * 48))
            lines = file.read().split(b"\n")
    except OSError:
        return ""
    text = b""
    for line in lines[-MAX_LOG_LINES - 1 :]:
        parts = line.split(b" ", 3)
        if len(parts) == 4:
            text += parts[3] + (b"" if parts[2] == b"P" else b"\n")
    return text[-MAX_LOG:].decode("utf-8", "replace")
