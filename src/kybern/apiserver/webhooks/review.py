"""AdmissionReview: what a webhook is asked, and what it answers.

Source: API reference, AdmissionReview v1 admission.k8s.io; Kubernetes documentation, "Dynamic Admission Control".
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from kybern.api.admissionregistration.rules import Asked
from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.apiserver.admission.base import CONNECT, Attributes

GROUP, KIND = "admission.k8s.io", "AdmissionReview"
VERSIONS = ("v1", "v1beta1")


class Named(NamedTuple):
    """A group, a version, and a kind or resource."""

    group: str
    version: str
    name: str

    def as_object(self, field: str) -> Object:
        """With `field` saying what `name` is."""
        return {"group": self.group, "version": self.version, field: self.name}


class InvalidReview(Exception):
    """The answer is no review that could be acted on; the message says why, in upstream's words."""


@dataclass(slots=True)
class Verdict:
    """What a webhook says. `patch` are RFC 6902 operations."""

    allowed: bool
    result: Object = field(default_factory=dict)
    patch: list[Any] | None = None
    annotations: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def asked_of(a: Attributes) -> Asked:
    """What the write is, for rules."""
    return Asked(a.operation, a.resource.group, a.version, a.resource.plural, a.subresource, namespace_of(a))


def namespace_of(a: Attributes) -> str:
    """The namespace of the write; that of a namespace is itself."""
    is_namespace = (a.resource.group, a.resource.plural) == ("", "namespaces")
    return a.name if is_namespace else a.namespace


def request(a: Attributes, uid: str, kind: Named, resource: Named, obj: Object | None, old: Object | None) -> Object:
    """The AdmissionRequest for a webhook that is told of the write as one of `resource`."""
    asked_resource = Named(a.resource.group, a.version, a.resource.plural)
    asked_kind = kind if resource == asked_resource else Named(a.resource.group, a.version, kind.name)
    said: Object = {"uid": uid, "kind": kind.as_object("kind"), "resource": resource.as_object("resource")}
    if a.subresource:
        said["subResource"] = a.subresource
    said |= {"requestKind": asked_kind.as_object("kind"), "requestResource": asked_resource.as_object("resource")}
    if a.subresource:
        said["requestSubResource"] = a.subresource
    collection = a.request is not None and a.request.info.verb == "deletecollection"
    if a.name and not collection:
        said["name"] = a.name
    if namespace := namespace_of(a):
        said["namespace"] = namespace
    said |= {"operation": a.operation, "userInfo": _user(a), "object": obj, "oldObject": old, "dryRun": a.dry_run}
    said["options"] = None if a.operation == CONNECT else a.options or None
    return said


def _user(a: Attributes) -> Object:
    user = a.user
    said: Object = {"username": user.name}
    if user.uid:
        said["uid"] = user.uid
    if user.groups:
        said["groups"] = list(user.groups)
    if user.extra:
        said["extra"] = {key: list(values) for key, values in user.extra.items()}
    return said


def review(version: str, asked: Object) -> Object:
    """The document to post."""
    return {"kind": KIND, "apiVersion": f"{GROUP}/{version}", "request": asked}


def verdict(version: str, uid: str, answer: Object, *, mutating: bool) -> Verdict:
    """What the answer says. Raises InvalidReview."""
    response = answer.get("response")
    if response is None:
        raise InvalidReview("webhook response was absent")
    if not isinstance(response, dict):
        raise InvalidReview("response is no object")
    if version == "v1":
        _check_identity(uid, answer, response)
    allowed, result = response.get("allowed") or False, response.get("status") or {}
    annotations, warnings = response.get("auditAnnotations") or {}, response.get("warnings") or []
    if not isinstance(allowed, bool) or not isinstance(result, dict) or not isinstance(annotations, dict):
        raise InvalidReview("response has a field of the wrong type")
    texts = [*annotations, *annotations.values(), *warnings] if isinstance(warnings, list) else [warnings]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidReview("response has a field of the wrong type")
    patch = _patch(version, response, mutating=mutating)
    return Verdict(allowed, result, patch, annotations, warnings)


def _check_identity(uid: str, answer: Object, response: Object) -> None:
    if response.get("uid") != uid:
        raise InvalidReview(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    group, _, version = str(answer.get("apiVersion") or "").rpartition("/")
    if (group, version, answer.get("kind")) != (GROUP, "v1", KIND):
        got = f"{group}/{version}, Kind={answer.get('kind') or ''}"
        raise InvalidReview(f"expected webhook response of {GROUP}/v1, Kind={KIND}, got {got}")


def _patch(version: str, response: Object, *, mutating: bool) -> list[Any] | None:
    patch, kind = response.get("patch"), response.get("patchType")
    if not mutating:
        for name, value in (("patch", patch), ("patchType", kind)):
            if value and version == "v1":
                raise InvalidReview(f"validating webhook may not return response.{name}")
        return None
    if version == "v1":
        if patch and kind is None:
            raise InvalidReview("webhook returned response.patch but not response.patchType")
        if not patch and kind is not None:
            raise InvalidReview("webhook returned response.patchType but not response.patch")
        if patch and kind != "JSONPatch":
            raise InvalidReview(f'webhook returned invalid response.patchType of "{kind}"')
    if not patch:
        return None
    try:
        found = orjson.loads(base64.b64decode(patch, validate=True))
    except (TypeError, ValueError, binascii.Error) as error:
        raise InvalidReview(f"received undecodable patch in webhook response: {error}") from error
    if not isinstance(found, list):
        raise InvalidReview("received undecodable patch in webhook response: it is no list of operations")
    return found


def denied(name: str, result: Object) -> APIError:
    """The refusal that a webhook's status makes."""
    code = result.get("code")
    text = f'admission webhook "{name}" denied the request'
    if why := result.get("message") or result.get("reason"):
        text += f": {why}"
    else:
        text += " without explanation"
    details = result.get("details")
    error = APIError(text, details=details if isinstance(details, dict) else None)
    error.code = code if isinstance(code, int) and 400 <= code < 1000 else 400
    error.reason = str(result.get("reason") or "")
    return error
