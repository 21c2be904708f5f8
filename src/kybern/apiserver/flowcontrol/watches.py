"""How many watches hear of a write: those of the object, of its namespace and of the whole resource.

Watches that select by the node of a pod are each of few objects, and aren't counted for any.
"""

from __future__ import annotations

from collections.abc import Callable

from kybern.apiserver.request import RequestInfo

_INDEXED = "spec.nodeName="


class WatchCounts:
    """Tell it of each watch by `begin`."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str, str], int] = {}

    def begin(self, info: RequestInfo) -> Callable[[], None]:
        """Note a watch; gives what to call at its end."""
        counts = self._counts
        key = (info.group, info.resource, info.namespace, info.name)
        if info.fields.startswith(_INDEXED):
            return lambda: None
        counts[key] = counts.get(key, 0) + 1

        def end() -> None:
            counts[key] -= 1
            if not counts[key]:
                del counts[key]

        return end

    def number(self, info: RequestInfo) -> int:
        """How many hear of a write."""
        counts = self._counts
        if not counts:
            return 0
        kind, namespace, name = (info.group, info.resource), info.namespace, info.name
        found = counts.get((*kind, "", ""), 0)
        if namespace:
            found += counts.get((*kind, namespace, ""), 0)
        if name:
            found += counts.get((*kind, namespace, name), 0)
        return found
