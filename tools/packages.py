"""Install the Debian packages named on the command line, if any is missing. Needs only the standard library.

usage: packages.py NAME...
"""

import os
import shutil
import subprocess
import sys


def missing(names: list[str]) -> list[str]:
    """Those that dpkg doesn't know as installed."""
    shown = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *names],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    installed = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def main() -> int:
    if not shutil.which("dpkg-query"):
        sys.stderr.write(f"this machine has no dpkg: install {' '.join(sys.argv[1:])} your way\n")
        return 0
    wanted = missing(sys.argv[1:])
    if not wanted:
        return 0
    if os.geteuid():
        sys.stderr.write(f"missing {' '.join(wanted)}; run it as root, or `apt-get install {' '.join(wanted)}`\n")
        return 1
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--quiet", "--quiet", "--yes", "--no-install-recommends", *wanted]
    sys.stdout.write(f"installing {' '.join(wanted)}\n")
    sys.stdout.flush()
    for attempt in ([], ["apt-get", "--quiet", "--quiet", "update"]):
        if attempt:
            subprocess.run(attempt, env=environment, check=False)
        done = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return 0
    sys.stderr.write(done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
