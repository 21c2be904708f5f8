"""Regenerate what is in a directory's _generated from its .proto files: `python tools/protoc.py src/kybern/store`."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]


def main(directory: str) -> int:
    """Run protoc; returns its exit code."""
    here = Path(directory)
    out, known = here / "_generated", files("grpc_tools") / "_proto"
    sources = [str(path) for path in sorted(here.glob("*.proto"))]
    return int(protoc.main(["protoc", f"-I{here}", f"-I{known}", f"--python_out={out}", f"--pyi_out={out}", *sources]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
