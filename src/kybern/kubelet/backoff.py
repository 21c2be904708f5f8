"""Exponential backoff as the kubelet applies it to crashing containers and failing image pulls: 10 s, doubled at each
try up to 5 minutes, forgotten after 10 minutes without one."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

INITIAL = 10.0
MAXIMUM = 300.0


@dataclass(slots=True)
class _Entry:
    seconds: float
    updated_at: float


@dataclass(slots=True)
class Backoff:
    """Delays by key. All times are seconds since the epoch; `event_at` is when the thing last failed."""

    initial: float = INITIAL
    maximum: float = MAXIMUM
    _entries: dict[Hashable, _Entry] = field(default_factory=dict)

    def remaining(self, key: Hashable, event_at: float, now: float) -> float:
        """Seconds still to wait before the next try; 0 if it may be now."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, event_at):
            return 0.0
        return max(entry.seconds - (now - event_at), 0.0)

    def advance(self, key: Hashable, event_at: float, now: float) -> None:
        """A try is made now: the next one waits longer."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, event_at):
            self._entries[key] = _Entry(self.initial, now)
        else:
            entry.seconds = min(entry.seconds * 2, self.maximum)
            entry.updated_at = now

    def delay(self, key: Hashable) -> float:
        """The whole delay now in force, in seconds."""
        entry = self._entries.get(key)
        return entry.seconds if entry else 0.0

    def reset(self, key: Hashable) -> None:
        self._entries.pop(key, None)

    def _expired(self, entry: _Entry, event_at: float) -> bool:
        return event_at - entry.updated_at > 2 * self.maximum
