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


async def run(args: argparse.Namespace) -> int:
    kubectl = shutil.which("kubectl")
    if not kubectl:
        raise OperatorError("kubectl is not installed; run `apt-get install kubernetes-client` (or `make install`)")
    path = Layout.of(args).admin_kubeconfig
    if not path.exists():
        raise OperatorError(f"there is no cluster in {args.data_dir}; `kybern up` makes one")
    sys.stdout.flush()
    os.execv(kubectl, [kubectl, f"--kubeconfig={path}", *args.arguments])
