"""What a host looks like from outside, to compare before `up` with after `down`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import psutil


def _lines(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def _cgroups() -> list[str]:
    found = (str(path) for path in Path("/sys/fs/cgroup").rglob("*") if path.is_dir())
    return sorted(path for path in found if "kube" in path or "kybern" in path or "cri-containerd" in path)


def _sysctls() -> list[str]:
    # Interfaces come and go with their own switches; what lasts is the rest. Counters aren't settings.
    volatile = re.compile(r"^net\.ipv[46]\.(conf|neigh)\.(?!all|default)|_count|random|_state|ns_last_pid|pty.nr")
    found = _lines("sysctl", "-a", "--pattern", r"^net\.|^vm\.|^kernel\.")
    return sorted(line for line in found if not volatile.search(line))


def _processes() -> list[str]:
    """Command lines of what a cluster runs."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        ours = "/var/lib/kybern-e2e" in line or "catatonit" in line
        kind = re.search(r"containerd|haproxy|kybern (?!.*pytest)\w|catatonit|-m kybern", line)
        if ours and kind and "pytest" not in line:
            found.append(line)
    return sorted(found)


def snapshot() -> dict[str, list[str]]:
    """Everything `down` has to put back, by name."""
    links = [re.sub(r"@.*", "", line.split()[0]) for line in _lines("ip", "-brief", "link")]
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # iproute2 makes it with the first named namespace that a machine ever has, and it stays.
    mounts = [path for path in mounts if path != "/run/netns"]
    return {
        "nftables": _lines("nft", "--stateless", "list", "ruleset"),
        "iptables": [line for line in _lines("iptables-save") if line.startswith(("-A", "-N"))],
        "links": sorted(links),
        "addresses": _lines("ip", "-brief", "address"),
        "routes": _lines("ip", "route", "show", "table", "all"),
        "namespaces": sorted(str(path) for path in Path("/run/netns").glob("*")),
        "mounts": sorted(mounts),
        "cgroups": _cgroups(),
        "sysctls": _sysctls(),
        "processes": _processes(),
    }


def differences(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """Per name, what is only in one of the two: `+` came, `-` went."""
    found = {}
    for name, old in before.items():
        came = [f"+{line}" for line in after[name] if line not in old]
        went = [f"-{line}" for line in old if line not in after[name]]
        if came or went:
            found[name] = came + went
    return found
