"""The file under the SQLite store: a log of records, one per revision. Everything here blocks; no state is kept twice.

    log   revision (key), key, value (NULL: deleted), created, lease, checksum
    lease id, expires (epoch seconds)
    meta  compacted: history up to and including this revision is forgotten

Current state is what replaying the log gives, so a write is one append. Compaction deletes the records that nothing
needs, by their revision; no index is kept. An existing file is checked to its last record before it is opened for
writing: a file that is damaged, or not ours, is left as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from kybern.store.base import Entry, Event, StoreUnavailable
from kybern.store.model import Model

log = logging.getLogger(__name__)

APPLICATION_ID = 0x6B796272
"""In the file's header: "kybr"."""
FORMAT = 1
"""The header's user version."""
BATCH = 64
"""Most records in one append."""
CHECKPOINT_BYTES = 4 << 20
"""The write-ahead log is folded into the file after about this much."""
VACUUM_PAGES = 256
"""Free pages handed back to the file system at a time."""

_PAGE = 4096
_SCHEMA = """
CREATE TABLE log (revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, created INTEGER NOT NULL,
                  lease INTEGER NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE lease (id INTEGER PRIMARY KEY, expires REAL NOT NULL);
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('compacted', 0);
"""
_COLUMNS = {
    "log": ["revision", "key", "value", "created", "lease", "checksum"],
    "lease": ["id", "expires"],
    "meta": ["name", "value"],
}
_INSERTS = ["INSERT INTO log VALUES " + ",".join(["(?,?,?,?,?,?)"] * count) for count in range(BATCH + 1)]
"""By number of records. One statement is a transaction of its own, and waits once for the interpreter's lock."""


class SqliteFile:
    """An open, locked file. Use from one thread at a time. Methods raise StoreUnavailable."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.model = Model()
        """What the file held when it was opened; the caller's from then on."""
        self.leases: dict[int, float] = {}
        self.garbage: list[int] = []
        """Records that a compaction had yet to delete."""
        self._unfolded = 0
        self._lock = _lock(path)
        try:
            with self._errors("open"):
                if _missing(path):
                    _make(path)
                _check_header(path)
                self._load()
                self._connection = _connect(path)
        except BaseException:
            os.close(self._lock)
            raise

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn what SQLite and the system raise into one line that says what to do."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(_explain(self.path, doing, error)) from error

    def append(self, events: Sequence[Event]) -> None:
        """Make at most BATCH events durable, all or none."""
        parameters: list[object] = []
        size = 4 * _PAGE  # the inner pages that every transaction writes too
        for event in events:
            entry = event.entry
            value = None if event.deleted else entry.value
            size += 256 + len(value or b"") * 4 // 3
            parameters += (entry.mod_revision, entry.key, value, entry.create_revision, entry.lease)
            parameters.append(_checksum(entry.mod_revision, entry.key, value))
        try:
            with self._errors("write to"):
                self._connection.execute(_INSERTS[len(events)], parameters)
        except StoreUnavailable:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # on a full disk this may free some
            raise
        self._unfolded += size

    def size(self) -> int:
        """Bytes of the file and of its write-ahead log. May be asked from any thread."""
        names = (self.path, f"{self.path}-wal")
        return sum(os.stat(name).st_size for name in names if os.path.exists(name))

    def wants_checkpoint(self) -> bool:
        """Whether the write-ahead log has grown enough."""
        return self._unfolded >= CHECKPOINT_BYTES

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file, so that it is reused from its start."""
        with self._errors("checkpoint"):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._unfolded = 0

    def discard(self, compacted: int, revisions: Sequence[int]) -> None:
        """Delete records that history up to `compacted` needed, and hand free pages back, some at a time."""
        with self._errors("compact"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.execute("UPDATE meta SET value = ? WHERE name = 'compacted'", (compacted,))
                self._connection.execute(
                    "DELETE FROM log WHERE revision IN (SELECT value FROM json_each(?))", (json.dumps(list(revisions)),)
                )
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise
            self._unfolded += 1024 * len(revisions)
            free = self._pragma("freelist_count")
            if free > VACUUM_PAGES and free * 4 > self._pragma("page_count"):
                self._connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()

    def add_lease(self, lease: int, expires: float) -> None:
        """Remember a lease."""
        with self._errors("write to"):
            self._connection.execute("INSERT INTO lease VALUES (?, ?)", (lease, expires))

    def remove_lease(self, lease: int) -> None:
        """Forget a lease."""
        with self._errors("write to"):
            self._connection.execute("DELETE FROM lease WHERE id = ?", (lease,))

    def close(self) -> None:
        """Fold the write-ahead log in and let go of the file."""
        try:
            with contextlib.suppress(sqlite3.Error):  # what isn't folded now is at the next start
                self._connection.close()
        finally:
            os.close(self._lock)

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _load(self) -> None:
        """Read the whole file, without the right to change it."""
        reader = sqlite3.connect(f"file:{quote(self.path)}?mode=ro", uri=True, isolation_level=None)
        try:
            problem = reader.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise StoreUnavailable(_damaged(self.path, problem))
            for table, columns in _COLUMNS.items():
                if [row[1] for row in reader.execute(f"PRAGMA table_info({table})")] != columns:
                    raise StoreUnavailable(_damaged(self.path, f"table {table} is not as it was made"))
            meta = dict(reader.execute("SELECT name, value FROM meta"))
            self.leases = dict(reader.execute("SELECT id, expires FROM lease"))
            self._replay(reader, meta["compacted"])
        except sqlite3.DatabaseError as error:
            if "malformed" in str(error) or "not a database" in str(error):
                raise StoreUnavailable(_damaged(self.path, str(error))) from error
            raise
        finally:
            reader.close()

    def _replay(self, reader: sqlite3.Connection, compacted: int) -> None:
        """Rebuild the model: records up to `compacted` make the state, those after it the history."""
        model = self.model
        model.revision = model.compacted = compacted
        rows = reader.execute("SELECT revision, key, value, created, lease, checksum FROM log ORDER BY revision")
        for revision, key, value, created, lease, checksum in rows:
            if checksum != _checksum(revision, key, value):
                raise StoreUnavailable(_damaged(self.path, f"revision {revision} is not what was written"))
            if revision <= compacted:
                self._adopt(revision, key, value, created, lease)
                continue
            if revision != model.revision + 1:
                raise StoreUnavailable(_damaged(self.path, f"revision {model.revision + 1} is missing"))
            previous = model.entries.get(key)
            if value is None:
                if previous is None:
                    raise StoreUnavailable(_damaged(self.path, f"revision {revision} deletes a key that is not there"))
                value, deleted = previous.value, True
            else:
                deleted = False
            model.apply(Event(deleted, Entry(key, value, created, revision, lease), previous))

    def _adopt(self, revision: int, key: str, value: bytes | None, created: int, lease: int) -> None:
        """Take in a record older than the history; one that the next replaces was about to be deleted."""
        entry = Entry(key, value or b"", created, revision, lease)
        previous = self.model.drop(key) if value is None else self.model.adopt(entry)
        if previous is not None:
            self.garbage.append(previous.mod_revision)
        if value is None:  # after what it deletes, which would come back without it
            self.garbage.append(revision)


def _checksum(revision: int, key: str, value: bytes | None) -> int:
    """Of a record: SQLite itself would not notice a changed bit in a value."""
    return zlib.crc32(value or b"", zlib.crc32(key.encode(), revision & 0xFFFFFFFF))


def _lock(path: str) -> int:
    """Keep other servers off the file while the descriptor is open; dies with the process."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        descriptor = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(_explain(path, "lock", error)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "another process"
        os.close(descriptor)
        raise StoreUnavailable(f"{path} is in use by process {holder}; stop that, or use another file") from error
    with contextlib.suppress(OSError):  # only says who; a full disk must not keep the server from starting
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _missing(path: str) -> bool:
    """Whether there is no store yet. An empty file counts as none."""
    if os.path.exists(path) and os.path.getsize(path) > 0:
        return False
    if os.path.exists(path + "-wal"):
        raise StoreUnavailable(f"{path} is missing but its {path}-wal is there; restore the file, or remove both")
    return True


def _make(path: str) -> None:
    """Create the file whole or not at all."""
    new = path + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.executescript(_SCHEMA)
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
    os.chmod(new, 0o600)
    os.replace(new, path)
    directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check_header(path: str) -> None:
    """Whether the file is ours, without asking SQLite, which might touch it."""
    with open(path, "rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise StoreUnavailable(f"{path} is not a SQLite file, so not a kybern store; move it away, or use another path")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreUnavailable(f"{path} is another program's SQLite file; use another path")
    version = int.from_bytes(header[60:64], "big")
    if version != FORMAT:
        raise StoreUnavailable(f"{path} has format {version}, this kybern reads {FORMAT}; use the kybern that made it")


def _connect(path: str) -> sqlite3.Connection:
    """Open for writing."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=BATCH + 32)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # after the acknowledgement, by `checkpoint`
    connection.execute(f"PRAGMA journal_size_limit = {4 * CHECKPOINT_BYTES}")
    return connection


def _damaged(path: str, problem: str) -> str:
    problem = " ".join(problem.split())
    return f"{path} is damaged ({problem}); it was not changed: restore a backup, or move it away to start empty"


def _is_full(path: str) -> bool:
    """Whether the file's disk has no room; SQLite gives a mere I/O error where the files beside its own don't fit."""
    with contextlib.suppress(OSError):
        disk = os.statvfs(os.path.dirname(os.path.abspath(path)))
        return disk.f_bavail * disk.f_frsize < 1 << 20
    return False


def _explain(path: str, doing: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    if "disk is full" in text or "No space left" in text or ("I/O error" in text and _is_full(path)):
        return f"can't {doing} {path}: no space left on its disk; free some. Nothing was changed"
    if "malformed" in text:
        return _damaged(path, text)
    return f"can't {doing} {path}: {text}; check the path, its permissions and the disk"
