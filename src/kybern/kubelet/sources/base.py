"""What a source gives: the whole set of its pods, each time it changes. Static pods get UID, name and defaults here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson
import yaml

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
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise BadManifest(f"invalid YAML: {error}") from error
    if not isinstance(document, dict):
        raise BadManifest("not an object")
    items = document.get("items") or [] if str(document.get("kind", "")).endswith("List") else [document]
    for item in items:
        if item.get("kind", "Pod") != "Pod" or not (item.get("metadata") or {}).get("name"):
            raise BadManifest(f"not a pod with a name: kind {item.get('kind')!r}")
        if not (item.get("spec") or {}).get("containers"):
            raise BadManifest("spec.containers: Required value")
    return items


def static_pod(manifest: Object, origin: str, source: str, node_name: str) -> Object:
    """A manifest made a pod of this node: `<name>-<node>`, with a UID that follows from its content and origin."""
    pod: Object = orjson.loads(orjson.dumps(manifest))
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
    pod["apiVersion"], pod["kind"] = "v1", "Pod"
    spec = pod["spec"]
    spec["nodeName"] = node_name
    _default(spec)
    # A static pod runs whatever taints its node has.
    tolerations = spec.setdefault("tolerations", [])
    if {"operator": "Exists", "effect": "NoExecute"} not in tolerations:
        tolerations.append({"operator": "Exists", "effect": "NoExecute"})
    pod["status"] = {"phase": "Pending"}
    return pod


def _default(spec: Object) -> None:
    """The API's defaults that the kubelet relies on, for pods that never went through the API."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("enableServiceLinks", True)
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        for port in container.get("ports") or []:
            port.setdefault("protocol", "TCP")
            if spec.get("hostNetwork"):
                port.setdefault("hostPort", port["containerPort"])
