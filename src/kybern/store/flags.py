"""The flags that say where etcd is, by the API server's names, for every command that speaks to it."""

from __future__ import annotations

import argparse

from kybern.process.daemon import OperatorError
from kybern.store.opening import PREFIX, is_etcd


def add_etcd_flags(parser: argparse.ArgumentParser) -> None:
    """Endpoints, certificate files and the prefix."""
    _add_endpoints(parser)
    add_certificate_flags(parser)


def add_endpoint_flags(parser: argparse.ArgumentParser, default: str = "") -> None:
    """Endpoints and certificate files."""
    _add_endpoints(parser, default)
    _add_certificates(parser)


def add_certificate_flags(parser: argparse.ArgumentParser) -> None:
    """Certificate files and the prefix, where the endpoints are said otherwise."""
    _add_certificates(parser)
    parser.add_argument("--etcd-prefix", default=PREFIX, metavar="PATH", help="where in etcd everything is")


def _add_endpoints(parser: argparse.ArgumentParser, default: str = "") -> None:
    said = f"; default {default}" if default else "; without any the store is in --data-dir"
    parser.add_argument(
        "--etcd-servers",
        type=_endpoints,
        default=_endpoints(default),
        metavar="URLS",
        help=f"endpoints of etcd, like https://127.0.0.1:2379{said}",
    )


def _add_certificates(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--etcd-cafile", default="", metavar="FILE", help="CA of etcd's certificates; the system's if absent")
    add("--etcd-certfile", default="", metavar="FILE", help="certificate shown to etcd")
    add("--etcd-keyfile", default="", metavar="FILE", help="its key")


def check_etcd_flags(args: argparse.Namespace) -> None:
    """Raises OperatorError where they don't go together."""
    if not args.etcd_servers and (args.etcd_cafile or args.etcd_certfile or args.etcd_keyfile):
        raise OperatorError("--etcd-cafile, --etcd-certfile and --etcd-keyfile are of no use without --etcd-servers")
    for server in args.etcd_servers:
        if not is_etcd(server):
            raise OperatorError(f"--etcd-servers: write {server} like https://127.0.0.1:2379")


def _endpoints(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
