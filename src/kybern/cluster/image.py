"""`kybern image load FILE | build [DIR] | ls`: images without a registry."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kybern.cluster import containerd, images
from kybern.cluster.layout import Layout, add_data_dir
from kybern.process.daemon import OperatorError


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    actions = parser.add_subparsers(dest="action", required=True)
    load = actions.add_parser("load", help="import an OCI or docker archive into the node")
    load.add_argument("file", type=Path)
    build = actions.add_parser("build", help="build the archives of kybern's own images")
    build.add_argument("directory", type=Path, nargs="?", default=Path("/var/cache/kybern"))
    actions.add_parser("ls", help="list the node's images")


async def run(args: argparse.Namespace) -> int:
    layout = Layout.of(args)
    if args.action != "build" and not layout.containerd_socket.exists():
        raise OperatorError(f"no containerd runs for {layout.root}; `kybern up` starts it")
    if args.action == "load":
        names = containerd.import_image(layout.containerd_socket, args.file)
        sys.stdout.writelines(f"loaded {name}\n" for name in names)
    elif args.action == "build":
        sys.stdout.writelines(f"{name}  {path}\n" for name, path in images.archives(args.directory).items())
    else:
        present = containerd.image_names(layout.containerd_socket, patience=2)
        sys.stdout.writelines(f"{name}\n" for name in sorted(present))
    return 0
