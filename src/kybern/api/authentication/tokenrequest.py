"""TokenRequest, authentication.k8s.io/v1: the body of a service account's `token` subresource; it isn't stored.

Source: API reference, TokenRequest v1 authentication.k8s.io.
"""

from __future__ import annotations

from kybern.api.field import Errors
from kybern.api.types import Object

GROUP, VERSION, KIND = "authentication.k8s.io", "v1", "TokenRequest"
DEFAULT_SECONDS = 3600
_MIN_SECONDS, _MAX_SECONDS = 10 * 60, 1 << 32
_BINDABLE = {("", "Pod"), ("v1", "Pod"), ("", "Secret"), ("v1", "Secret"), ("", "Node"), ("v1", "Node")}


def default(request: Object) -> None:
    """A token lives an hour unless asked otherwise."""
    request.setdefault("spec", {}).setdefault("expirationSeconds", DEFAULT_SECONDS)


def validate(request: Object, errors: Errors) -> None:
    """10 minutes at least; bound to a pod, secret or node if to anything."""
    spec = request["spec"]
    seconds = spec.get("expirationSeconds") or 0
    if seconds < _MIN_SECONDS:
        errors.invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > _MAX_SECONDS:
        errors.invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
    bound = spec.get("boundObjectRef")
    if bound and not bound.get("name"):
        errors.required("spec.boundObjectRef.name")
    if bound and (bound.get("apiVersion") or "", bound.get("kind") or "") not in _BINDABLE:
        errors.invalid("spec.boundObjectRef", bound, "cannot bind token to object of this kind")
