"""`kybern kubeconfig`: the path of the admin kubeconfig, or the file itself."""

from __future__ import annotations

import argparse
import sys

from kybern.cluster.layout import Layout, add_data_dir
from kybern.process.daemon import OperatorError


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    parser.add_argument("--raw", action="store_true", help="print the file instead of its path")


async def run(args: argparse.Namespace) -> int:
    path = Layout.of(args).admin_kubeconfig
    if not path.exists():
        raise OperatorError(f"there is no cluster in {args.data_dir}; `kybern up` makes one")
    sys.stdout.write(path.read_text() if args.raw else f"{path}\n")
    return 0
