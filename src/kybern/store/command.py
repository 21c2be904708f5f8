"""`kybern store migrate`: moves a cluster's state from a file to etcd or back."""

from __future__ import annotations

import argparse
import os
import sys

from kybern.process.daemon import OperatorError
from kybern.store.base import Store, StoreError
from kybern.store.flags import add_certificate_flags
from kybern.store.migrate import migrate
from kybern.store.opening import PREFIX, is_etcd, open_store

_FORMS = "a SQLite file (/var/lib/kybern/store.db), or endpoints of etcd (https://a:2379,https://b:2379)"


def add_flags(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    copying = actions.add_parser("migrate", help="copy everything from one store to an empty other", allow_abbrev=False)
    copying.add_argument("--from", dest="source", required=True, metavar="STORE", help=_FORMS)
    copying.add_argument("--to", dest="target", required=True, metavar="STORE", help="the same")
    add_certificate_flags(copying)


async def run(args: argparse.Namespace) -> int:
    """Raises OperatorError."""
    source, target = location_of(args.source, must_exist=True), location_of(args.target)
    if source == target:
        raise OperatorError("--from and --to are the same store")
    try:
        count = await _migrate(source, target, args)
    except StoreError as error:
        raise OperatorError(str(error)) from error
    sys.stdout.write(f"{count} keys are now in {args.target}; start the API servers with it\n")
    return 0


async def _migrate(source: str, target: str, args: argparse.Namespace) -> int:
    async def opened(location: str) -> Store:
        return await open_store(
            location,
            authority=args.etcd_cafile,
            certificate=args.etcd_certfile,
            key=args.etcd_keyfile,
            prefix=args.etcd_prefix,
            compaction_interval=0,
        )

    old = await opened(source)
    try:
        new = await opened(target)
        try:
            # A file has no prefix: its keys are whole below /registry.
            renamed = is_etcd(source) != is_etcd(target) and args.etcd_prefix.strip("/") != PREFIX.strip("/")
            return await migrate(old, new, _tell, renamed=renamed)
        finally:
            await new.close()
    finally:
        await old.close()


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def location_of(text: str, *, must_exist: bool = False) -> str:
    """What open_store takes for `sqlite:///path`, a path, or endpoints. Raises OperatorError."""
    if text.startswith("sqlite:"):
        text = text.removeprefix("sqlite:").removeprefix("//")
    if not text or text == "memory":
        raise OperatorError(f"{text!r} is no store to keep anything in; name {_FORMS}")
    if is_etcd(text):
        return text.rstrip("/")
    if must_exist and not os.path.exists(text):
        raise OperatorError(f"{text}: no such file")
    return os.path.abspath(text)
