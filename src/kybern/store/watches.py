"""Who wants to hear of which changes: watches by prefix, and events handed to those they concern."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from kybern.store.base import Event, StoreError

log = logging.getLogger(__name__)


class Listener:
    """The two callbacks of a watch below `prefix`, and the revision after which it begins."""

    def __init__(
        self,
        prefix: str,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> None:
        self.prefix, self.after = prefix, after
        self.on_events, self.on_lost = on_events, on_lost
        self.cancelled = False

    def hand_over(self, events: Sequence[Event]) -> None:
        """Call it; its mistakes must not undo a write that is durable already."""
        if self.cancelled:
            return
        try:
            self.on_events(events)
        except Exception:
            log.exception("A watch of %s failed on an event", self.prefix)

    def end(self, error: StoreError) -> None:
        """Say that nothing more comes; its mistakes must not keep the others from hearing it."""
        self.cancelled = True
        try:
            self.on_lost(error)
        except Exception:
            log.exception("A watch of %s failed on its end", self.prefix)


class Watches:
    """The listeners of a store, by prefix."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    def add(self, listener: Listener) -> None:
        """Tell it what comes from now on."""
        self._listeners.setdefault(listener.prefix, []).append(listener)

    def remove(self, listener: Listener) -> None:
        """Forget it, if it is known."""
        remaining = [known for known in self._listeners.get(listener.prefix, ()) if known is not listener]
        if remaining:
            self._listeners[listener.prefix] = remaining
        else:
            self._listeners.pop(listener.prefix, None)

    def notify(self, events: Sequence[Event]) -> None:
        """Hand events to the listeners they concern, one call per listener."""
        batches: dict[str, list[Event]] = {}
        for event in events:
            for prefix in _prefixes(event.entry.key):
                if prefix in self._listeners:
                    batches.setdefault(prefix, []).append(event)
        for prefix, batch in batches.items():
            for listener in self._listeners.get(prefix, ()):
                if listener.after < batch[0].entry.mod_revision:
                    listener.hand_over(batch)
                elif late := [e for e in batch if e.entry.mod_revision > listener.after]:
                    listener.hand_over(late)

    def lose(self, error: StoreError) -> None:
        """End every watch with `error`."""
        listeners = [listener for group in self._listeners.values() for listener in group]
        self._listeners.clear()
        for listener in listeners:
            listener.end(error)


def _prefixes(key: str) -> Iterator[str]:
    """The prefixes that cover a key: each part of it that ends in a slash."""
    at = key.find("/")
    while at >= 0:
        yield key[: at + 1]
        at = key.find("/", at + 1)
