"""What etcd's keys, values and events are to the store, and the other way round."""

from __future__ import annotations

from kybern.store._generated import etcd_pb2 as etcd
from kybern.store.base import Compacted, Entry, Event

ROOT = "/registry/"
"""What every key of the API server begins with."""


class Keyspace:
    """Our keys, and where they are in etcd: /registry is `prefix` there."""

    def __init__(self, prefix: str) -> None:
        self._prefix = "/" + prefix.strip("/") + "/"
        self._raw = self._prefix.encode()

    def raw(self, key: str) -> bytes:
        """etcd's key."""
        if not key.startswith(ROOT):
            raise ValueError(f"key {key!r} is not below {ROOT}")
        return (self._prefix + key[len(ROOT) :]).encode(errors="surrogateescape")

    def key(self, raw: bytes) -> str:
        """Our key, "" for one that isn't ours."""
        if not raw.startswith(self._raw):
            return ""
        return ROOT + raw[len(self._raw) :].decode(errors="surrogateescape")

    def entry(self, pair: etcd.KeyValue) -> Entry:
        """A key and its value as etcd gives them."""
        return Entry(self.key(pair.key), pair.value, pair.create_revision, pair.mod_revision, pair.lease)

    def events(self, response: etcd.WatchResponse) -> list[Event]:
        """Those of a response that are ours. Raises Compacted if what was there before is no longer known."""
        events = []
        for change in response.events:
            pair, before = change.kv, change.prev_kv
            if not (key := self.key(pair.key)):
                continue
            previous = self.entry(before) if before.mod_revision else None
            if change.type == etcd.Event.PUT:
                if previous is None and pair.create_revision != pair.mod_revision:
                    raise Compacted(pair.mod_revision)
                events.append(Event(False, self.entry(pair), previous))
            elif previous is None:
                raise Compacted(pair.mod_revision)
            else:
                gone = Entry(key, previous.value, previous.create_revision, pair.mod_revision, previous.lease)
                events.append(Event(True, gone, previous))
        return events
