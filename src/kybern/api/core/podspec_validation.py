"""Rules of a pod spec as a whole; the parts are in the podspec_* modules beside this one.

Source: API reference, PodSpec v1; the messages are upstream's.
"""

from __future__ import annotations

from kybern.api.field import Errors
from kybern.api.types import Object

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")


def validate_pod_spec(spec: Object, path: str, errors: Errors, *, metadata: Object | None = None) -> None:
    """Validate a (defaulted) PodSpec at `path`; `metadata` is its pod's or template's."""
    if not spec.get("containers"):
        errors.required(f"{path}.containers")
    _one_of(spec.get("restartPolicy"), RESTART_POLICIES, f"{path}.restartPolicy", errors)
    _one_of(spec.get("dnsPolicy"), DNS_POLICIES, f"{path}.dnsPolicy", errors)


def _one_of(value: str | None, allowed: tuple[str, ...], path: str, errors: Errors) -> None:
    if not value:
        errors.required(path)
    elif value not in allowed:
        errors.unsupported(path, value, allowed)
