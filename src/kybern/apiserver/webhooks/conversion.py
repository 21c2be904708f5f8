"""Conversion of custom objects between versions by the webhook that a definition names.

A webhook may change everything but metadata, of which only labels and annotations are its own to change.
Source: API reference, ConversionReview v1 apiextensions.k8s.io; Kubernetes documentation, "Versions in CRDs".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from kybern.api import meta
from kybern.api.errors import Unclassified
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver.webhooks.client import CallFailed, Hooks
from kybern.process.clock import monotonic, new_uid
from kybern.store.base import StoreError

GROUP, KIND = "apiextensions.k8s.io", "ConversionReview"
VERSIONS = ("v1", "v1beta1")
SECONDS = 30.0
BUCKETS = [0.001 * 2**power for power in range(15)]


class Unconvertible(Unclassified, StoreError):
    """Objects can't be had in the version asked for; the message is upstream's, `failure` what metrics call it."""

    def __init__(self, message: str, failure: str) -> None:
        super().__init__(message)
        self.failure = f"conversion_webhook_{failure}_failure"


class ConversionMetrics:
    """How long conversions take and how they end, under upstream's names."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "apiserver_crd_conversion_webhook_duration_seconds", "Time of a kind's conversion webhook.",
            ("crd_name", "from_version", "to_version", "succeeded"), registry=registry, buckets=BUCKETS,
        )  # fmt: skip
        ends = ("result", "failure_type")
        self._all = Histogram(
            "apiserver_conversion_webhook_duration_seconds", "Time of conversion webhooks.", ends, registry=registry,
            buckets=BUCKETS,
        )  # fmt: skip
        self._requests = Counter(
            "apiserver_conversion_webhook_request", "Calls of conversion webhooks.", ends, registry=registry
        )

    def called(self, name: str, versions: tuple[str, str], failure: str, seconds: float) -> None:
        """A webhook was asked to convert from one version to another. `failure` is what went wrong, if anything."""
        self._seconds.labels(name, *versions, "false" if failure else "true").observe(seconds)
        result = ("failure" if failure else "success", failure)
        self._all.labels(*result).observe(seconds)
        self._requests.labels(*result).inc()


class WebhookConversion:
    """The converter of one definition."""

    def __init__(self, hooks: Hooks, name: str, webhook: Object, metrics: ConversionMetrics) -> None:
        self._hooks, self._name, self._webhook, self._metrics = hooks, name, webhook, metrics

    async def __call__(self, objects: Sequence[Object], version: str) -> list[Object]:
        """The objects in `version` of their group; those in it already stay. Raises Unconvertible."""
        group = str(objects[0]["apiVersion"]).rpartition("/")[0]
        desired = f"{group}/{version}"
        wanted = [obj for obj in objects if obj["apiVersion"] != desired]
        made = iter(await self._timed(wanted, desired)) if wanted else iter(())
        return [obj if obj["apiVersion"] == desired else next(made) for obj in objects]

    async def _timed(self, wanted: list[Object], desired: str) -> list[Object]:
        began, failure = monotonic(), ""
        try:
            return await self._converted(wanted, desired)
        except Unconvertible as error:
            failure = error.failure
            raise
        finally:
            versions = (wanted[0]["apiVersion"], desired)
            self._metrics.called(self._name, versions, failure, monotonic() - began)

    async def _converted(self, wanted: list[Object], desired: str) -> list[Object]:
        first = wanted[0]
        said = f"conversion webhook for {first['apiVersion']}, Kind={first['kind']}"
        known = [one for one in self._webhook["conversionReviewVersions"] if one in VERSIONS]
        if not known:
            raise Unconvertible("no supported conversion review versions", "call")
        uid = new_uid()
        request = {"uid": uid, "desiredAPIVersion": desired, "objects": wanted}
        review = {"kind": KIND, "apiVersion": f"{GROUP}/{known[0]}", "request": request}
        try:
            hook = self._hooks.hook(self._webhook["clientConfig"])
            answer = await hook.post(review, timeout=SECONDS)
        except CallFailed as error:
            raise Unconvertible(f"{said} failed: {error}", "call") from error
        try:
            found = _objects(known[0], uid, answer)
        except ValueError as error:
            raise Unconvertible(f"{said} failed: {error}", "malformed_response") from error
        if len(found) != len(wanted):
            why = f"{said} returned {len(found)} objects, expected {len(wanted)}"
            raise Unconvertible(why, "partial_response")
        made = []
        for index, (before, after) in enumerate(zip(wanted, found, strict=True)):
            try:
                made.append(_checked(before, after, desired))
            except _Metadata as error:
                why = f"{said} returned invalid metadata in object at index {index}: {error}"
                raise Unconvertible(why, "invalid_converted_object") from error
            except ValueError as error:
                why = f"{said} returned invalid converted object at index {index}: {error}"
                raise Unconvertible(why, "invalid_converted_object") from error
        return made


class _Metadata(ValueError):
    """What is wrong with the metadata of a converted object."""


def _objects(version: str, uid: str, answer: Object) -> list[Any]:
    """The objects of an answer. Raises ValueError."""
    api_version, kind, response = answer.get("apiVersion"), answer.get("kind"), answer.get("response")
    if version == "v1" and (api_version, kind) != (f"{GROUP}/v1", KIND):
        got = f"{api_version or '/'}, Kind={kind or ''}"
        raise ValueError(f"expected webhook response of {GROUP}/v1, Kind={KIND}, got {got}")
    if not isinstance(response, dict):
        raise ValueError("no response provided")
    if version == "v1" and response.get("uid") != uid:
        raise ValueError(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result")
    status = result.get("status") if isinstance(result, dict) else None
    if status != "Success":
        message = result.get("message") if isinstance(result, dict) else None
        raise ValueError(message or f"response.result.status was '{status or ''}', not 'Success'")
    found = response.get("convertedObjects") or []
    if not isinstance(found, list):
        raise ValueError("response.convertedObjects is no list")
    return found


def _checked(before: Object, after: Any, desired: str) -> Object:
    """The converted object with the metadata it must have. Raises ValueError."""
    if not isinstance(after, dict):
        raise ValueError("it is no object")
    if after.get("apiVersion") != desired:
        got = after.get("apiVersion") or ""
        raise ValueError(f"invalid groupVersion (expected {desired}, received {got})")
    if after.get("kind") != before["kind"]:
        raise ValueError(f"invalid kind (expected {before['kind']}, received {after.get('kind') or ''})")
    metadata = after.get("metadata")
    if metadata is None:
        raise _Metadata("missing metadata in converted object")
    if not isinstance(metadata, dict):
        raise _Metadata("invalid metadata of its type in converted object")
    for name, words in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        was, now = before["metadata"].get(name) or "", metadata.get(name) or ""
        if was != now:
            raise ValueError(f"must have the same {words}: {was} != {now}")
    kept = {name: value for name, value in before["metadata"].items() if name not in ("labels", "annotations")}
    for name in ("labels", "annotations"):
        if metadata.get(name) is not None:
            kept[name] = _strings(metadata[name], before["metadata"].get(name) or {}, name)
    return {**after, "metadata": kept}


def _strings(found: Any, before: Object, name: str) -> Object:
    if not isinstance(found, dict):
        raise _Metadata(f"invalid metadata.{name} of its type in converted object")
    for key, value in found.items():
        if not isinstance(value, str):
            raise _Metadata(f"metadata.{name}[{key}] must be a string, but is not in converted object")
    if found != before:
        errors = Errors()
        (meta.validate_labels if name == "labels" else meta.validate_annotations)(found, f"metadata.{name}", errors)
        if errors:
            raise _Metadata(", ".join(map(str, errors)))
    return found
