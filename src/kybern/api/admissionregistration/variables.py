"""The variables that expressions about a write may use: their types, for checking and for evaluating.

Source: API reference, MatchCondition and Validation v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kybern.api.cel.messages import Messages
from kybern.api.types import Object

_STRING: Object = {"type": "string"}
_STRINGS: Object = {"type": "array", "items": _STRING}


def _object(**properties: Any) -> Object:
    return {"type": "object", "properties": properties}


def _map(values: Object) -> Object:
    return {"type": "object", "additionalProperties": values}


_KIND = _object(group=_STRING, version=_STRING, kind=_STRING)
_RESOURCE = _object(group=_STRING, version=_STRING, resource=_STRING)
_USER = _object(username=_STRING, uid=_STRING, groups=_STRINGS, extra=_map(_STRINGS))
REQUEST = _object(
    kind=_KIND, resource=_RESOURCE, subResource=_STRING, requestKind=_KIND, requestResource=_RESOURCE,
    requestSubResource=_STRING, name=_STRING, namespace=_STRING, operation=_STRING, userInfo=_USER,
    dryRun={"type": "boolean"}, options={"x-kubernetes-int-or-string": True},
)  # fmt: skip
"""The schema of `request`: an AdmissionRequest without its objects. Options are of any type."""
_METADATA = _object(
    name=_STRING, generateName=_STRING, namespace=_STRING, labels=_map(_STRING), annotations=_map(_STRING), uid=_STRING,
    creationTimestamp={"type": "string", "format": "date-time"}, deletionGracePeriodSeconds={"type": "integer"},
    deletionTimestamp={"type": "string", "format": "date-time"}, generation={"type": "integer"},
    resourceVersion=_STRING, finalizers=_STRINGS,
)  # fmt: skip
NAMESPACE = _object(metadata=_METADATA, spec=_object(finalizers=_STRINGS), status=_object(phase=_STRING))
"""The schema of `namespaceObject`."""
SCHEMA = _object(request=REQUEST, namespaceObject=NAMESPACE)
"""Both."""

AUTHORIZER = {"authorizer": "Authorizer", "authorizer.requestResource": "ResourceCheck"}
CONDITION = {"object": "dyn", "oldObject": "dyn", "request": "dyn", **AUTHORIZER}
"""The types of a condition's variables when it is evaluated."""
POLICY = {**CONDITION, "namespaceObject": "dyn", "params": "dyn"}
"""Those of a policy's expressions, to which its own variables come."""


@lru_cache(maxsize=1)
def checked() -> tuple[Messages, dict[str, str]]:
    """The types of `request` and `namespaceObject` when an expression is checked, and the messages they are."""
    messages = Messages(SCHEMA, whole=False, verbatim=True)
    return messages, {"request": messages.type_of(REQUEST), "namespaceObject": messages.type_of(NAMESPACE)}
