"""The rule for what pods send beyond the cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from kybern.network import masquerade

NAMESPACE = "kybern-test-masquerade"


@pytest.fixture
def nft() -> Iterator[tuple[str, ...]]:
    """nft in a network namespace of its own."""
    if os.geteuid() or not shutil.which("nft"):
        pytest.skip("needs root and nft")
    subprocess.run(["ip", "netns", "delete", NAMESPACE], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    yield ("ip", "netns", "exec", NAMESPACE, "nft")
    subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


def listed(nft: tuple[str, ...]) -> str:
    return subprocess.run([*nft, "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def test_the_kernel_takes_the_rule_and_lets_it_go(nft: tuple[str, ...]) -> None:
    for cidrs in (["10.244.3.0/24"], ["10.244.4.0/24", "fd00::/64"]):
        masquerade.install(cidrs, ["10.244.0.0/16"], nft)
        assert f"ip saddr {cidrs[0]} ip daddr != @within masquerade" in listed(nft)
        assert listed(nft).count("masquerade\n") == 1
    masquerade.remove(nft)
    masquerade.remove(nft)
    assert listed(nft) == ""


def test_what_is_missing_is_said() -> None:
    with pytest.raises(masquerade.MasqueradeFailed, match="install nftables"):
        masquerade.install(["10.244.3.0/24"], [], ("/no/nft",))
