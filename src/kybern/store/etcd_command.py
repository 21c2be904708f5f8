"""`kybern etcd`: what an operator does with a cluster's etcd."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from kybern.process.daemon import OperatorError
from kybern.store import etcd_admin as admin
from kybern.store.base import StoreError
from kybern.store.etcd_client import EtcdClient, Tls
from kybern.store.flags import add_endpoint_flags, check_etcd_flags

PATIENCE = 20.0
"""Seconds for an answer: etcd may be electing a leader."""
CONNECTING = 3.0
"""Seconds for anyone to listen."""
DEFAULT = "http://127.0.0.1:2379"


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_endpoint_flags(parser, DEFAULT)
    actions = parser.add_subparsers(dest="area", required=True)
    _add_snapshot(actions.add_parser("snapshot", help="save and restore everything"))
    _add_member(actions.add_parser("member", help="who belongs to the cluster"))
    actions.add_parser("compact", help="forget all history: whoever watches the past has to list anew")
    actions.add_parser("defrag", help="give back the space that compaction freed, on every endpoint named")
    alarm = actions.add_parser("alarm", help="what keeps it from writing").add_subparsers(dest="action", required=True)
    alarm.add_parser("list", help="show alarms")
    alarm.add_parser("disarm", help="end them, once their cause is gone")


def _add_snapshot(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    save = actions.add_parser("save", help="write a snapshot to a file")
    save.add_argument("file", type=Path)
    restoring = actions.add_parser("restore", help="make a member's data directory of a snapshot", allow_abbrev=False)
    restoring.add_argument("file", type=Path)
    restoring.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="the directory to make")
    for flag, what in (
        ("--name", "the member's name"),
        ("--initial-cluster", "the new cluster's members, NAME=PEER-URL,..."),
        ("--initial-advertise-peer-urls", "the member's peer URLs"),
        ("--initial-cluster-token", "a name for the new cluster, so that it isn't taken for the old one"),
    ):
        restoring.add_argument(flag, default="", metavar="TEXT", help=what)
    listing = actions.add_parser("ls", help="list the snapshots in a directory")
    listing.add_argument("directory", type=Path, nargs="?", default=Path())
    actions.add_parser("status", help="say what is in a snapshot").add_argument("file", type=Path)


def _add_member(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="show the members")
    add = actions.add_parser("add", help="have the cluster expect a member")
    add.add_argument("--learner", action="store_true", help="one that doesn't vote yet")
    promote = actions.add_parser("promote", help="give a learner a vote")
    promote.add_argument("member", help="its name or id")
    remove = actions.add_parser("remove", help="remove a member")
    remove.add_argument("member", help="its name or id")
    replace = actions.add_parser("replace", help="remove a member and expect another in its place")
    replace.add_argument("member", help="name or id of the old one")
    for parser_with_new in (add, replace):
        parser_with_new.add_argument("name", help="the new member's name")
        parser_with_new.add_argument("peers", nargs="+", metavar="peer-url", help="like https://10.0.0.3:2380")


async def run(args: argparse.Namespace) -> int:
    """Raises OperatorError."""
    check_etcd_flags(args)
    action = _ACTIONS[args.area, getattr(args, "action", "")]
    try:
        tls = Tls(args.etcd_cafile, args.etcd_certfile, args.etcd_keyfile)
        client = EtcdClient(args.etcd_servers, tls, timeout=PATIENCE, connecting=CONNECTING)
        try:
            await action(client, args)
        finally:
            await client.close()
    except StoreError as error:
        raise OperatorError(str(error)) from error
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


async def _save(client: EtcdClient, args: argparse.Namespace) -> None:
    made = await admin.save(client, args.file)
    _say(f"{made.path}: {_size(made.size)} saved from {client.endpoint}")


async def _restore(client: EtcdClient, args: argparse.Namespace) -> None:
    names = ("name", "initial_cluster", "initial_advertise_peer_urls", "initial_cluster_token")
    given = {name.replace("_", "-"): getattr(args, name) for name in names}
    admin.restore(args.file, args.data_dir, [f"--{name}={value}" for name, value in given.items() if value])
    _say(f"{args.data_dir} made; start etcd with it, and the API servers anew")


async def _list_snapshots(client: EtcdClient, args: argparse.Namespace) -> None:
    for found in admin.snapshots(args.directory):
        when = datetime.fromtimestamp(found.saved, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        _say(f"{when}  {_size(found.size):>11}  {found.path.name}")


async def _snapshot_status(client: EtcdClient, args: argparse.Namespace) -> None:
    if not admin.examine(args.file).sound:
        raise OperatorError(f"{args.file} is damaged, or no snapshot")
    found = admin.describe(args.file)
    _say(f"revision {found['revision']}, {found['totalKey']} entries, {_size(found['totalSize'])}, sound")


async def _list_members(client: EtcdClient, args: argparse.Namespace) -> None:
    for member in await admin.members(client):
        state = "learner" if member.isLearner else "started" if member.name else "expected"
        peers, clients = ",".join(member.peerURLs), ",".join(member.clientURLs)
        _say(f"{member.ID:x}  {state:8}  {member.name or '-'}  {peers}  {clients or '-'}")


async def _add(client: EtcdClient, args: argparse.Namespace) -> None:
    admin.check_new(await admin.members(client), args.name, args.peers)
    await _expect(client, args)


async def _expect(client: EtcdClient, args: argparse.Namespace) -> None:
    flags = await admin.add_member(client, args.name, args.peers, learner=getattr(args, "learner", False))
    _say(f"the cluster expects {args.name}; start its etcd, without data, with")
    _say("  " + " ".join(flags))


async def _promote(client: EtcdClient, args: argparse.Namespace) -> None:
    member = await admin.promote_member(client, args.member)
    _say(f"{member.name or args.member} votes")


async def _remove(client: EtcdClient, args: argparse.Namespace) -> None:
    gone = await admin.remove_member(client, args.member)
    _say(f"{gone.name or args.member} is removed; delete its data before it ever joins again")


async def _replace(client: EtcdClient, args: argparse.Namespace) -> None:
    old = await admin.named(client, args.member)
    # Looked at first: what can't be added must not cost the old one its place.
    admin.check_new(await admin.members(client), args.name, args.peers, leaving=old.ID)
    await _remove(client, args)
    await _expect(client, args)


async def _compact(client: EtcdClient, args: argparse.Namespace) -> None:
    _say(f"history before revision {await admin.compact(client)} is forgotten")


async def _defragment(client: EtcdClient, args: argparse.Namespace) -> None:
    for endpoint, before, after in await admin.defragment(client):
        _say(f"{endpoint}: {_size(before)} before, {_size(after)} now")


async def _list_alarms(client: EtcdClient, args: argparse.Namespace) -> None:
    for member, name in await admin.alarms(client):
        _say(f"{member:x}  {name}: {admin.ALARMS.get(name, 'see its log')}")


async def _disarm(client: EtcdClient, args: argparse.Namespace) -> None:
    for member, name in await admin.disarm(client):
        _say(f"{member:x}  {name} disarmed")


_ACTIONS: dict[tuple[str, str], Callable[[EtcdClient, argparse.Namespace], Awaitable[None]]] = {
    ("snapshot", "save"): _save,
    ("snapshot", "restore"): _restore,
    ("snapshot", "ls"): _list_snapshots,
    ("snapshot", "status"): _snapshot_status,
    ("member", "list"): _list_members,
    ("member", "add"): _add,
    ("member", "promote"): _promote,
    ("member", "remove"): _remove,
    ("member", "replace"): _replace,
    ("compact", ""): _compact,
    ("defrag", ""): _defragment,
    ("alarm", "list"): _list_alarms,
    ("alarm", "disarm"): _disarm,
}
