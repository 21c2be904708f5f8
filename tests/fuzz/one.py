"""One target under atheris until its time is up, which ends the process.

    python -m tests.fuzz.one NAME CORPUS SECONDS
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(name: str, corpus: str, seconds: str) -> None:
    """Fuzz with what earlier inputs taught (`corpus`), first the seeds."""
    import atheris

    with atheris.instrument_imports(include=["kybern.api", "kybern.apiserver"]):
        from tests.fuzz.targets import TARGETS
    target, seeds = TARGETS[name]
    directory = Path(corpus)
    directory.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (directory / f"seed-{number}").write_bytes(seed)
    flags = [f"-max_total_time={seconds}", "-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048", "-max_len=4096"]
    atheris.Setup([sys.argv[0], corpus, f"-artifact_prefix={directory.parent}/", *flags], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
