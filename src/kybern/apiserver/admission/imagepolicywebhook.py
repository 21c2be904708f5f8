"""ImagePolicyWebhook: another server says which images pods may use.

Source: Kubernetes documentation, "Admission Control in Kubernetes", ImagePolicyWebhook; API reference, ImageReview
(imagepolicy.k8s.io/v1alpha1).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path

import orjson

from kybern.api.types import Object
from kybern.apiserver.admission import config
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App
from kybern.apiserver.egress import ways_of
from kybern.apiserver.webhooks.client import CallFailed
from kybern.apiserver.webhooks.reviews import Reviewer
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)

FAILED_OPEN = "alpha.image-policy.k8s.io/failed-open"
AUDIT_PREFIX = "imagepolicywebhook.image-policy.k8s.io/"
CACHE_SIZE = 1024
_FOR_WEBHOOK = ".image-policy.k8s.io/"
"""What annotations of pods have in their keys that the webhook is to see."""
_TIMES = {
    "allowTTL": (300.0, 1.0, 1800.0, 1.0),
    "denyTTL": (30.0, 1.0, 1800.0, 1.0),
    "retryBackoff": (0.5, 1e-9, 300.0, 1e-3),
}
"""Default, least and most, in seconds, and the unit in which the configuration gives them."""


class ImagePolicyWebhook(Plugin):
    """Looks at pods, and at debugging containers added to them."""

    name = "ImagePolicyWebhook"
    handles = frozenset({("", "pods")})
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        given = (config.of(app, self.name) or {}).get("imagePolicy")
        if not isinstance(given, dict) or not given.get("kubeConfigFile"):
            raise OperatorError(f"the configuration of {self.name}: imagePolicy.kubeConfigFile is required")
        self._times = {field: _time(given, field) for field in _TIMES}
        self._default_allow = bool(given.get("defaultAllow"))
        self._reviewer = Reviewer(
            self.name, Path(given["kubeConfigFile"]), "imagepolicy.k8s.io/v1alpha1", "ImageReview",
            wait=self._times["retryBackoff"], through=ways_of(app).controlplane,
        )  # fmt: skip
        self._known: OrderedDict[bytes, tuple[Object, float]] = OrderedDict()
        """Verdicts, and until when they hold."""

    def close(self) -> None:
        self._reviewer.close()

    async def validate(self, a: Attributes) -> None:
        if a.object is None or a.subresource not in ("", "ephemeralcontainers"):
            return
        spec = a.object["spec"]
        fields = ("ephemeralContainers",) if a.subresource else ("containers", "initContainers")
        images = [container.get("image") or "" for field in fields for container in spec.get(field) or ()]
        annotations = a.object["metadata"].get("annotations") or {}
        told = {key: value for key, value in annotations.items() if _FOR_WEBHOOK in key}
        asked: Object = {"containers": [{"image": image} for image in images], "namespace": a.namespace}
        if told:
            asked["annotations"] = told
        try:
            verdict = await self._verdict(asked)
        except CallFailed as failed:
            self._failed(a, failed)
            return
        for key, value in (verdict.get("auditAnnotations") or {}).items():
            a.annotate(f"{AUDIT_PREFIX}{key}", str(value))
        if not verdict.get("allowed"):
            reason = verdict.get("reason")
            if reason:
                raise a.forbidden(f"image policy webhook backend denied one or more images: {reason}")
            raise a.forbidden("one or more images rejected by webhook backend")

    async def _verdict(self, asked: Object) -> Object:
        """What is known, or what the webhook says. Raises CallFailed."""
        key = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
        verdict, until = self._known.get(key, ({}, 0.0))
        if monotonic() < until:
            return verdict
        verdict = await self._reviewer.ask(asked)
        life = self._times["allowTTL" if verdict.get("allowed") else "denyTTL"]
        self._known[key] = (verdict, monotonic() + life)
        self._known.move_to_end(key)
        if len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return verdict

    def _failed(self, a: Attributes, failed: CallFailed) -> None:
        """Let it pass, with a mark, if that is the configuration; else raises Forbidden."""
        log.warning(
            "the image policy webhook failed, failing %s: %s", "open" if self._default_allow else "closed", failed
        )
        if not self._default_allow:
            raise a.forbidden(str(failed)) from failed
        assert a.object is not None
        a.annotate(f"{AUDIT_PREFIX}failed-open", "true")
        metadata = a.object["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), FAILED_OPEN: "true"}


def _time(given: Object, field: str) -> float:
    """A time of the configuration, in seconds: -1 is none, 0 the default. Raises OperatorError."""
    default, least, most, unit = _TIMES[field]
    value = given.get(field) or 0
    if value == -1:
        return 0.0
    if not value:
        return default
    if not isinstance(value, int) or not least <= value * unit <= most:
        raise OperatorError(f"the configuration of ImagePolicyWebhook: imagePolicy.{field} {value} is out of range")
    return value * unit
