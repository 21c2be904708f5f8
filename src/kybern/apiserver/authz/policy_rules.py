"""Short hands in which the bootstrap policy is written."""

from __future__ import annotations

from collections.abc import Sequence

from kybern.api.types import Object

READ = "get list watch"
READ_WRITE = "create delete deletecollection get list patch update watch"
WRITE = "create delete deletecollection patch update"


def rule(verbs: str, *, group: str = "", resources: str, names: Sequence[str] = ()) -> Object:
    """A PolicyRule; verbs, groups and resources are separated by spaces. `group` "" is the core group."""
    made: Object = {
        "verbs": verbs.split(),
        "apiGroups": group.split() or [""],
        "resources": resources.split(),
    }
    if names:
        made["resourceNames"] = list(names)
    return made


def urls(verbs: str, paths: str) -> Object:
    """A PolicyRule on non-resource URLs."""
    return {"verbs": verbs.split(), "nonResourceURLs": paths.split()}


def events() -> Object:
    """Leave to write events, old style and new."""
    return {"verbs": ["create", "patch", "update"], "apiGroups": ["", "events.k8s.io"], "resources": ["events"]}
