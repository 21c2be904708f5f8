"""`kybern certs check|renew|upload`: a control plane's certificates: until when they are good, and new ones."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta

from kybern.api import durations
from kybern.api.errors import APIError
from kybern.client.kubeconfig import connect, load
from kybern.cluster.bootstrap import certificates, shared
from kybern.cluster.bootstrap.certificates import Found
from kybern.cluster.layout import JOINED, Layout, add_data_dir
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

_COLUMNS = ("CERTIFICATE", "EXPIRES", "RESIDUAL TIME", "CERTIFICATE AUTHORITY")


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("check", help="show until when each is good; fails if one has expired")
    renew = actions.add_parser("renew", help="make new ones, for the same people and names")
    renew.add_argument("names", nargs="+", metavar="NAME", help="as `check` shows them, or `all`")
    upload = actions.add_parser("upload", help="leave the keys, encrypted, for control planes that join")
    upload.add_argument("--certificate-key", default="", metavar="HEX", help="default: a random key, which is printed")


async def run(args: argparse.Namespace) -> int:
    layout = Layout.of(args)
    settings = layout.read_settings()
    if settings is None or settings.role != JOINED or not (layout.pki / "ca.key").exists():
        raise OperatorError(f"there is no control plane of `kybern init` or `join` in {layout.root}")
    if args.action == "check":
        return _check(layout)
    if args.action == "renew":
        _renew(layout, args.names)
        return 0
    await _upload(layout, args.certificate_key)
    return 0


def _check(layout: Layout) -> int:
    found = [*certificates.found(layout)]
    table = [_COLUMNS, *(row(one) for one in found)]
    widths = [max(map(len, column)) + 3 for column in zip(*table, strict=True)]
    for line in table:
        padded = "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write(f"{padded.rstrip()}\n")
    return int(any(_left(one) <= timedelta(0) for one in found))


def row(one: Found) -> tuple[str, ...]:
    """A certificate's line."""
    left = _left(one)
    said = durations.human(left.total_seconds()) if left > timedelta(0) else "<expired>"
    signer = one.signer.replace("/", "-")
    return one.name, f"{one.certificate.not_valid_after_utc:%b %d, %Y %H:%M UTC}", said, signer or "<itself>"


def _left(one: Found) -> timedelta:
    return one.certificate.not_valid_after_utc - clock.now()


def _renew(layout: Layout, names: list[str]) -> None:
    leaves = {one.name: one for one in certificates.found(layout) if one.signer}
    chosen = [*leaves] if names == ["all"] else names
    for name in chosen:
        if name not in leaves:
            raise OperatorError(f"there is no certificate {name} that can be renewed; there are {', '.join(leaves)}")
    for name in chosen:
        certificates.renew(layout, leaves[name])
        sys.stdout.write(f"{name} is renewed\n")
    sys.stdout.write(f"running pods have the old ones: move their files out of {layout.manifests} and back\n")


async def _upload(layout: Layout, given: str) -> None:
    key = given or shared.generate_key()
    client = connect(load(layout.admin_kubeconfig), "kybern-certs", quiet=True)
    try:
        await shared.upload(client, layout, key)
    except APIError as error:
        raise OperatorError(error.message) from error
    finally:
        await client.close()
    sys.stdout.write(f"{key}\n")
