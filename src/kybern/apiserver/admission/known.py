"""Whether there is any object of a kind: plugins that only matter then needn't be asked before."""

from __future__ import annotations

from collections.abc import Callable

from kybern.api.types import Object
from kybern.apiserver.registry import Lister


class Known:
    """True while there are any; `changed` is called when that becomes otherwise."""

    def __init__(self, lister: Lister, changed: Callable[[], None]) -> None:
        self._uids: set[str] = set()
        self._changed = changed
        lister.on_change(self._on_change)

    def __bool__(self) -> bool:
        return bool(self._uids)

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        before = bool(self._uids)
        if old is not None:
            self._uids.discard(old["metadata"]["uid"])
        if new is not None:
            self._uids.add(new["metadata"]["uid"])
        if bool(self._uids) is not before:
            self._changed()
