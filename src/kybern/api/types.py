"""The one type every package shares: an API object is a JSON dict."""

from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]
"""An API object as decoded JSON. Never mutated once it sits in a cache; copy before changing."""


def key_of(obj: Object) -> str:
    """Return `namespace/name`, or `name` for a cluster-scoped object."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


def split_key(key: str) -> tuple[str, str]:
    """Return (namespace, name); namespace is "" for a cluster-scoped key."""
    namespace, _, name = key.rpartition("/")
    return namespace, name
