"""Which store a location names."""

from __future__ import annotations

from kybern.store.base import Store
from kybern.store.memory import MemoryStore
from kybern.store.sqlite import SqliteStore

PREFIX = "/registry"
COMPACTION_INTERVAL = 300.0


async def open_store(
    location: str,
    *,
    authority: str = "",
    certificate: str = "",
    key: str = "",
    prefix: str = PREFIX,
    compaction_interval: float = COMPACTION_INTERVAL,
) -> Store:
    """Open the store at `location`: "memory", endpoints of an etcd (`https://a:2379,https://b:2379`), or a path of a
    SQLite file (made if absent). The rest is for etcd: files of its CA and of the client's certificate and key, where
    in it /registry is, and the seconds between compactions (0: none). Raises StoreUnavailable."""
    if location == "memory":
        return MemoryStore()
    if not is_etcd(location):
        return await SqliteStore.open(location)
    # gRPC takes its time to load, and most clusters have no etcd.
    from kybern.store.etcd import EtcdStore
    from kybern.store.etcd_client import EtcdClient, Tls

    client = EtcdClient(location.split(","), Tls(authority, certificate, key))
    return await EtcdStore.open(client, prefix=prefix, compaction_interval=compaction_interval)


def is_etcd(location: str) -> bool:
    """Whether it names endpoints rather than a file."""
    return "://" in location
