"""What of a pod may change once it is stored. Source: API reference, Pod v1 core; the messages are upstream's."""

from __future__ import annotations

from kybern.api.field import Errors
from kybern.api.types import Object


def validate_pod_update(obj: Object, old: Object, errors: Errors) -> None:
    """Rules of an ordinary update."""


def validate_pod_status_update(obj: Object, old: Object, errors: Errors) -> None:
    """Rules of a write to status."""


def validate_ephemeral_containers_update(obj: Object, old: Object, errors: Errors) -> None:
    """Rules of a write to ephemeralcontainers."""


def validate_pod_resize(obj: Object, old: Object, errors: Errors) -> None:
    """Rules of a write to resize."""
