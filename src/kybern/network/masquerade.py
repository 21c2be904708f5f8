"""Source addresses of pods beyond the cluster: one rule for the node, in a table of its own.

What pods send outside leaves with the node's address, as nobody out there knows the way to a pod. One rule for all is
what CNI's own masquerading does with chains per pod, through iptables, at every start of one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

TABLE = "kybern-masquerade"


class MasqueradeFailed(Exception):
    """nft is missing or refused; the message says which."""


def ruleset(pod_cidrs: Sequence[str], cluster_cidrs: Sequence[str]) -> str:
    """The table for nft: what the node's pods (`pod_cidrs`) send beyond `cluster_cidrs` is masqueraded. IPv4 only."""
    pods, cluster = (sorted({cidr for cidr in cidrs if ":" not in cidr}) for cidrs in (pod_cidrs, cluster_cidrs))
    lines = [f"add table ip {TABLE}", f"delete table ip {TABLE}"]
    if pods:
        within = ", ".join(sorted({*cluster, *pods, "224.0.0.0/4"}))
        # Ranges may overlap: a node's pods are part of the cluster's.
        lines += [
            f"add table ip {TABLE}",
            f"add set ip {TABLE} within {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {within} }}; }}",
            f"add chain ip {TABLE} postrouting {{ type nat hook postrouting priority srcnat; }}",
            f"add rule ip {TABLE} postrouting ip saddr {{ {', '.join(pods)} }} ip daddr != @within masquerade",
        ]
    return "\n".join([*lines, ""])


def install(pod_cidrs: Sequence[str], cluster_cidrs: Sequence[str], program: Sequence[str] = ("nft",)) -> None:
    """Put the rule in force, in one step. Blocking, some milliseconds. Raises MasqueradeFailed."""
    _nft(program, ruleset(pod_cidrs, cluster_cidrs))


def remove(program: Sequence[str] = ("nft",)) -> None:
    """Take it away, if it is there. Raises MasqueradeFailed."""
    _nft(program, ruleset((), ()))


def _nft(program: Sequence[str], commands: str) -> None:
    try:
        done = subprocess.run([*program, "-f", "-"], input=commands, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MasqueradeFailed(f"can't run {program[0]}: {error.strerror}; install nftables") from error
    if done.returncode:
        raise MasqueradeFailed(f"nft: {(done.stderr.strip().splitlines() or ['no reason given'])[0]}")
