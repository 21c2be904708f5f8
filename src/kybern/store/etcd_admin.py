"""Looking after an etcd: snapshots, members, the space its database takes, alarms. Knows nothing of what is stored.

Source: etcd's operations guide (disaster recovery, runtime reconfiguration, maintenance).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError
from kybern.store._generated import etcd_pb2 as etcd
from kybern.store.etcd_changes import latest_revision
from kybern.store.etcd_client import (
    ALARM,
    COMPACT,
    DEFRAGMENT,
    MEMBER_ADD,
    MEMBER_LIST,
    MEMBER_PROMOTE,
    MEMBER_REMOVE,
    STATUS,
    EtcdClient,
    EtcdFailure,
    Method,
)

MAINTENANCE_SECONDS = 300.0
"""For work on all of a database."""
SETTLING_SECONDS = 30.0
TRY_SECONDS = 4.0
"""For one attempt to change members: if its leader is lost etcd never answers it."""
_DIGEST = 32
"""A snapshot ends in the SHA-256 of what comes before."""
_SECTOR = 512
"""The database's own size is a multiple of this, so a remainder tells whether there is a digest."""


@dataclass(slots=True, frozen=True)
class Snapshot:
    """A file with a snapshot. `sound` is whether its digest is right."""

    path: Path
    size: int
    saved: float
    """Epoch seconds."""
    sound: bool


async def save(client: EtcdClient, path: Path) -> Snapshot:
    """Write a snapshot of the endpoint in use, whole or not at all. Raises OperatorError, EtcdFailure."""
    part = path.with_name(path.name + ".part")
    await client.call(STATUS, etcd.StatusRequest())  # settles on an endpoint that answers
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            async with aclosing(client.snapshot()) as pieces:
                async for piece in pieces:
                    file.write(piece.blob)
            file.flush()
            os.fsync(file.fileno())
        made = examine(part)
        if not made.sound:
            raise OperatorError(f"the snapshot arrived damaged; nothing was written to {path}")
        part.replace(path)
    except OSError as error:
        raise OperatorError(f"can't write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return examine(path)


def examine(path: Path) -> Snapshot:
    """Raises OperatorError if it can't be read."""
    try:
        found, digest, left = path.stat(), hashlib.sha256(), path.stat().st_size - _DIGEST
        with path.open("rb") as file:
            while left > 0 and (chunk := file.read(min(left, 1 << 20))):
                digest.update(chunk)
                left -= len(chunk)
            sound = found.st_size % _SECTOR == _DIGEST and file.read() == digest.digest()
    except OSError as error:
        raise OperatorError(f"can't read {path}: {error.strerror}") from error
    return Snapshot(path, found.st_size, found.st_mtime, sound)


def snapshots(directory: Path) -> list[Snapshot]:
    """The sound snapshots in a directory, oldest first. Raises OperatorError."""
    try:
        files = [path for path in directory.iterdir() if path.is_file()]
    except OSError as error:
        raise OperatorError(f"can't read {directory}: {error.strerror}") from error
    found = [examine(path) for path in files if path.stat().st_size % _SECTOR == _DIGEST]
    return sorted((snapshot for snapshot in found if snapshot.sound), key=lambda snapshot: snapshot.saved)


def describe(path: Path) -> dict[str, Any]:
    """What etcd's own tool reads in a snapshot: hash, revision, totalKey, totalSize. Raises OperatorError."""
    answer = json.loads(_tool("snapshot", "status", str(path), "--write-out=json"))
    return dict(answer)


def restore(path: Path, directory: Path, flags: Sequence[str]) -> str:
    """Make a member's data directory of a snapshot, with etcd's own tool and its `flags`; gives what that says.
    Raises OperatorError: a damaged snapshot, a directory that exists."""
    if not examine(path).sound:
        raise OperatorError(f"{path} is damaged, or no snapshot; take another")
    if directory.exists():
        raise OperatorError(f"{directory} exists; stop its etcd and move it away, or name another --data-dir")
    return _tool("snapshot", "restore", str(path), f"--data-dir={directory}", *flags)


def _tool(*arguments: str) -> str:
    # Since 3.6 etcdctl has handed these over to etcdutl.
    program = shutil.which("etcdutl") or shutil.which("etcdctl")
    if program is None:
        raise OperatorError("neither etcdutl nor etcdctl is here; install Debian's package etcd-client")
    environment = {**os.environ, "ETCDCTL_API": "3"}
    done = subprocess.run([program, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise OperatorError(f"{Path(program).name} {' '.join(arguments[:2])}: {' '.join(last)}")
    return done.stdout + done.stderr


# Members


async def members(client: EtcdClient) -> list[etcd.Member]:
    """All of them, by name. Raises EtcdFailure."""
    answer = await client.call(MEMBER_LIST, etcd.MemberListRequest())
    return sorted(answer.members, key=lambda member: (member.name, member.ID))


async def named(client: EtcdClient, text: str) -> etcd.Member:
    """The member with a name, or with an id in hexadecimal. Raises OperatorError."""
    known = await members(client)
    for member in known:
        if text in (member.name, f"{member.ID:x}"):
            return member
    names = ", ".join(member.name or f"{member.ID:x}" for member in known)
    raise OperatorError(f"no member {text!r}; there are {names}")


def check_new(known: Sequence[etcd.Member], name: str, peers: Sequence[str], *, leaving: int = 0) -> None:
    """Whether a member can be added once that with the id `leaving` is gone. Raises OperatorError."""
    for peer in peers:
        if not _is_peer(peer):
            raise OperatorError(f"{peer!r} is no peer URL; write it like https://10.0.0.3:2380")
    for member in known:
        if leaving == member.ID:
            continue
        if member.name == name:
            raise OperatorError(f"there is a member {name} already; choose another name")
        if taken := sorted(set(peers).intersection(member.peerURLs)):
            raise OperatorError(f"{taken[0]} is the peer URL of member {member.name or f'{member.ID:x}'} already")


def _is_peer(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname and parts.port) and url.count("/") == 2
    except ValueError:
        return False


async def add_member(client: EtcdClient, name: str, peers: Sequence[str], *, learner: bool = False) -> list[str]:
    """Have the cluster expect a member; gives the flags its etcd must be started with. Raises EtcdFailure."""
    request = etcd.MemberAddRequest(peerURLs=peers, isLearner=learner)
    await _reconfigure(client, MEMBER_ADD, request, done="Peer URLs already exists")
    cluster = [
        f"{name if set(member.peerURLs) == set(peers) else member.name}={peer}"
        for member in await members(client)
        for peer in member.peerURLs
    ]
    return [
        f"--name={name}",
        f"--initial-advertise-peer-urls={','.join(peers)}",
        f"--initial-cluster={','.join(cluster)}",
        "--initial-cluster-state=existing",
    ]


async def remove_member(client: EtcdClient, text: str) -> etcd.Member:
    """Remove it by name or id. Raises OperatorError, EtcdFailure: the rest would be no majority."""
    member = await named(client, text)
    await _reconfigure(client, MEMBER_REMOVE, etcd.MemberRemoveRequest(ID=member.ID), done="member not found")
    return member


async def promote_member(client: EtcdClient, text: str) -> etcd.Member:
    """Give a learner a vote. Raises OperatorError, EtcdFailure: it doesn't know yet what the others know."""
    member = await named(client, text)
    await _reconfigure(client, MEMBER_PROMOTE, etcd.MemberRemoveRequest(ID=member.ID), done="not a learner")
    return member


async def _reconfigure(client: EtcdClient, method: Method, request: Any, *, done: str) -> None:
    """Carry it out. While etcd elects a leader, and for some seconds after a member went or came, it may not; and where
    it is unknown whether it did, `done` is what it says to a second attempt."""
    end, uncertain = monotonic() + SETTLING_SECONDS, False
    while True:
        try:
            await client.call(method, request, repeatable=False, timeout=TRY_SECONDS)
            return
        except EtcdFailure as failure:
            if uncertain and done in failure.details:
                return
            if not failure.passing or failure.unsent or monotonic() > end:
                raise
            uncertain = True
        await asyncio.sleep(0.5)


# Space and alarms

ALARMS = {
    "NOSPACE": "the database is as large as --quota-backend-bytes, so nothing is written: `kybern etcd compact`, then "
    "`kybern etcd defrag`, then `kybern etcd alarm disarm`",
    "CORRUPT": "its data is not that of the others: `kybern etcd member replace`, then `kybern etcd alarm disarm`",
}
"""What each means, and what to do."""


async def compact(client: EtcdClient) -> int:
    """Forget all history, which a full database still allows; gives the revision from which on it is known. Raises
    EtcdFailure."""
    revision = await latest_revision(client)
    request = etcd.CompactionRequest(revision=revision, physical=True)
    try:
        await client.call(COMPACT, request, timeout=MAINTENANCE_SECONDS)
    except EtcdFailure as failure:
        if "has been compacted" not in failure.details:
            raise
    return revision


async def defragment(client: EtcdClient) -> list[tuple[str, int, int]]:
    """Give back what compaction freed, endpoint after endpoint, the leader last: each stands still meanwhile. Gives
    endpoint and size in bytes before and after. Raises EtcdFailure."""
    states = {endpoint: await _status(client, endpoint) for endpoint in client.endpoints}
    order = sorted(states, key=lambda endpoint: states[endpoint].leader == states[endpoint].header.member_id)
    done = []
    for endpoint in order:
        await client.call(DEFRAGMENT, etcd.DefragmentRequest(), endpoint=endpoint, timeout=MAINTENANCE_SECONDS)
        done.append((endpoint, states[endpoint].dbSize, (await _status(client, endpoint)).dbSize))
    return done


async def _status(client: EtcdClient, endpoint: str) -> etcd.StatusResponse:
    answer: etcd.StatusResponse = await client.call(STATUS, etcd.StatusRequest(), endpoint=endpoint)
    return answer


async def alarms(client: EtcdClient) -> list[tuple[int, str]]:
    """Member ids and the names of their alarms. Raises EtcdFailure."""
    answer = await client.call(ALARM, etcd.AlarmRequest())
    return [(alarm.memberID, etcd.AlarmType.Name(alarm.alarm)) for alarm in answer.alarms]


async def disarm(client: EtcdClient) -> list[tuple[int, str]]:
    """End all alarms; gives those that there were. Raises EtcdFailure."""
    known = await alarms(client)
    for member, name in known:
        request = etcd.AlarmRequest(action=etcd.AlarmRequest.DEACTIVATE, memberID=member, alarm=name)
        await client.call(ALARM, request)
    return known
