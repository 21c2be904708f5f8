"""Regenerate what is in _generated from the .proto files: `python -m kybern.store.generate` (needs grpcio-tools)."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run protoc; returns its exit code."""
    from grpc_tools import protoc  # type: ignore[import-untyped]

    here = Path(__file__).parent
    out = here / "_generated"
    files = [str(path) for path in sorted(here.glob("*.proto"))]
    return int(protoc.main(["protoc", f"-I{here}", f"--python_out={out}", f"--pyi_out={out}", *files]))


if __name__ == "__main__":
    sys.exit(main())
