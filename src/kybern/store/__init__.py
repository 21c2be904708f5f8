"""The truth: keys, bytes and revisions in etcd's model. Knows no kinds.

reads: keys and values it was given
writes: memory, a SQLite file with its write-ahead log, or an etcd
start here: base.py (the Protocol), then sqlite.py and etcd.py
to add one: a file with a class that fulfils `base.Store`; add it to tests/contract/test_store.py
"""

import os

from kybern.store.opening import open_store

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it would print, our own errors say in a line

__all__ = ["open_store"]
