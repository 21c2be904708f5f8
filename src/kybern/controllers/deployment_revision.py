"""A Deployment's history: which ReplicaSet is its present template, what revision each one is, which to forget.
Pure functions."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import orjson

from kybern.api.types import Object
from kybern.controllers.deployment_rolling import DESIRED, MAXIMUM, by_age, max_surge, replicas
from kybern.controllers.owners import controller_reference, is_deleting

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
_HISTORY_MAX = 2000
_NAME_MAX = 253
_NOT_COPIED = frozenset(
    [
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    ]
)
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_UNLIMITED = 2**31 - 1


def template_hash(template: Object, collisions: int | None) -> str:
    """A short name for a template, without vowels. `collisions` tells apart templates of equal hash."""
    value = zlib.crc32(orjson.dumps(template, option=orjson.OPT_SORT_KEYS))
    if collisions is not None:
        value = zlib.crc32(str(collisions).encode(), value)
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(value))


def same_template(one: Object, other: Object) -> bool:
    """Whether two templates make the same pods; the hash label does not count."""
    return _without_hash(one) == _without_hash(other)


def find_new(deployment: Object, sets: Iterable[Object]) -> Object | None:
    """The oldest ReplicaSet of the Deployment's present template."""
    template = deployment["spec"]["template"]
    for one in by_age(sets):
        if same_template(one["spec"]["template"], template):
            return one
    return None


def revision(obj: Object) -> int:
    """The revision annotation; 0 without a proper one."""
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def next_revision(old: Iterable[Object]) -> int:
    return max((revision(one) for one in old), default=0) + 1


def make_new(deployment: Object, number: int) -> Object:
    """The ReplicaSet of the present template, with no pods asked for yet."""
    spec = deployment["spec"]
    suffix = template_hash(spec["template"], (deployment.get("status") or {}).get("collisionCount"))
    template_meta = spec["template"].get("metadata") or {}
    labels = {**(template_meta.get("labels") or {}), HASH: suffix}
    selector = {**spec["selector"], "matchLabels": {**(spec["selector"].get("matchLabels") or {}), HASH: suffix}}
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment['metadata']['name'][: _NAME_MAX - 1 - len(suffix)]}-{suffix}",
            "namespace": deployment["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": selector,
            "template": {**spec["template"], "metadata": {**template_meta, "labels": labels}},
        },
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    made["metadata"]["annotations"] = {**annotations_of_new(deployment, made, number), **size_annotations(deployment)}
    return made


def annotations_of_new(deployment: Object, new: Object, number: int) -> dict[str, str]:
    """The annotations the present ReplicaSet should carry: the Deployment's own, its revision, earlier revisions."""
    own = deployment["metadata"].get("annotations") or {}
    annotations: dict[str, str] = dict(new["metadata"].get("annotations") or {})
    annotations |= {name: value for name, value in own.items() if name not in _NOT_COPIED}
    held = revision(new)
    if held < number:
        annotations[REVISION] = str(number)
        if held:
            history = [one for one in annotations.get(HISTORY, "").split(",") if one] + [str(held)]
            while len(",".join(history)) > _HISTORY_MAX:
                del history[0]
            annotations[HISTORY] = ",".join(history)
    return annotations


def size_annotations(deployment: Object) -> dict[str, str]:
    """What a ReplicaSet remembers of its Deployment's size; proportional scaling starts from it."""
    size = replicas(deployment)
    return {DESIRED: str(size), MAXIMUM: str(size + max_surge(deployment))}


def to_forget(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """Old ReplicaSets beyond the history limit, lowest revision first, as far as they are empty and settled."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == _UNLIMITED:
        return []
    kept = [one for one in old if not is_deleting(one)]
    surplus = len(kept) - limit
    if surplus <= 0:
        return []
    return [one for one in sorted(by_age(kept), key=revision)[:surplus] if _is_settled_empty(one)]


def _is_settled_empty(one: Object) -> bool:
    status = one.get("status") or {}
    seen = one["metadata"].get("generation", 0) <= status.get("observedGeneration", 0)
    return not status.get("replicas") and not replicas(one) and seen


def _without_hash(template: Object) -> Object:
    meta = template.get("metadata") or {}
    labels = {name: value for name, value in (meta.get("labels") or {}).items() if name != HASH}
    bare = {name: value for name, value in meta.items() if name not in ("labels", "creationTimestamp") and value}
    return {**template, "metadata": {**bare, "labels": labels}}
