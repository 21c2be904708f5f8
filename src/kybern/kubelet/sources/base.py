"""What a source gives: the whole set of its pods, each time it changes. Static pods get UID, name and defaults here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson

from kybern.api.codec import YAML, decode
from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.process.clock import clock

CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_SEEN = "kubernetes.io/config.seen"
CONFIG_MIRROR = "kubernetes.io/config.mirror"

Changed = Callable[[str, list[Object]], None]
"""Takes the source's name ("api", "file", "http") and all its pods."""


class BadManifest(Exception):
    """A manifest can't be read as pods; the message says why."""


def is_static(pod: Object) -> bool:
    """Whether a pod comes from a manifest rather than the API."""
    source = (pod["metadata"].get("annotations") or {}).get(CONFIG_SOURCE, "api")
    return source != "api" and not is_mirror(pod)


def is_mirror(pod: Object) -> bool:
    """Whether an API pod stands for a static one."""
    return CONFIG_MIRROR in (pod["metadata"].get("annotations") or {})


def parse(text: str) -> list[Object]:
    """The pods of a YAML or JSON manifest: a Pod, or a PodList. Raises BadManifest."""
    try:
        document = decode(text.encode(), YAML)
    except APIError as error:
        raise BadManifest(str(error)) from error
    items = document.get("items") or [] if str(document.get("kind", "")).endswith("List") else [document]
    if not isinstance(items, list):
        raise BadManifest("items is no list")
    for item in items:
        kind = item.get("kind", "Pod") if isinstance(item, dict) else item
        if kind != "Pod" or kind is item:
            raise BadManifest(f"not a pod: {kind}")
    return items


def static_pod(manifest: Object, origin: str, source: str, node_name: str) -> Object:
    """A manifest made a pod of this node: `<name>-<node>`, with a UID that follows from its content and origin.
    Raises BadManifest for what the API would not take."""
    pod = _decoded(manifest)
    digest = hashlib.md5(usedforsecurity=False)
    digest.update(orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS))
    digest.update(f"host:{node_name}source:{origin}".encode())
    meta = pod["metadata"]
    uid = str(meta.get("uid") or digest.hexdigest())
    meta["uid"] = uid
    meta["name"] = f"{meta['name']}-{node_name.lower()}"
    meta["namespace"] = meta.get("namespace") or "default"
    annotations = dict(meta.get("annotations") or {})
    annotations |= {CONFIG_HASH: uid, CONFIG_SOURCE: source, CONFIG_SEEN: clock.micro_stamp()}
    meta["annotations"] = annotations
    spec = pod["spec"]
    spec["nodeName"] = node_name
    # A static pod runs whatever taints its node has.
    tolerations = spec.setdefault("tolerations", [])
    if {"operator": "Exists", "effect": "NoExecute"} not in tolerations:
        tolerations.append({"operator": "Exists", "effect": "NoExecute"})
    _check(pod)
    pod["status"] = {"phase": "Pending"}
    return pod


# Heavy, and needed only where there are manifests: hence the late imports.


def _decoded(manifest: Object) -> Object:
    from kybern.api.decoding import check
    from kybern.api.schema import builtin

    pod: Object = orjson.loads(orjson.dumps({**manifest, "apiVersion": "v1", "kind": "Pod"}))
    type_ = builtin().kind("v1", "Pod")
    assert type_ is not None
    try:
        check(type_, pod)
    except APIError as error:
        raise BadManifest(str(error)) from error
    if not (pod.get("metadata") or {}).get("name"):
        raise BadManifest("metadata.name: Required value")
    if not (pod.get("spec") or {}).get("containers"):
        raise BadManifest("spec.containers: Required value")
    return pod


def _check(pod: Object) -> None:
    """Fill in the API's defaults and hold the pod to the API's rules. Raises BadManifest."""
    from kybern.api import meta
    from kybern.api.core.pod import Pod
    from kybern.api.field import Errors

    kind, errors = Pod(), Errors()
    kind.default(pod)
    meta.validate_create(pod["metadata"], errors, namespaced=True, name_rule=kind.validates_name)
    kind.validate(pod, errors)
    if errors:
        raise BadManifest(f"invalid pod: {', '.join(map(str, errors))}")
