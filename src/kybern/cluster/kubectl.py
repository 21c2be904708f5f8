"""`kybern kubectl ARGS`: the machine's kubectl with this cluster's kubeconfig."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from kybern.cluster.layout import Layout, add_data_dir
from kybern.process.daemon import OperatorError


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what kubectl is given")


def arrange(argv: list[str]) -> list[str]:
    """All but a leading --data-dir or --help is for kubectl, flags too."""
    own = 0
    if argv and argv[0].startswith("--data-dir"):
        own = 1 if "=" in argv[0] else 2
    elif argv in (["-h"], ["--help"]):
        own = 1
    return [*argv[:own], "--", *argv[own:]]


async def run(args: argparse.Namespace) -> int:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        raise OperatorError("kubectl is not installed; run `apt-get install kubernetes-client` (or `make install`)")
    path = Layout.of(args).admin_kubeconfig
    if not path.exists():
        raise OperatorError(f"there is no cluster in {args.data_dir}; `kybern up` makes one")
    sys.stdout.flush()
    os.execv(kubectl, [kubectl, f"--kubeconfig={path}", *args.arguments[1:]])
