"""Flags, and one-line errors for operators."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import Any

import pytest

from kybern.process.daemon import OperatorError
from kybern.proxy.base import BackendMissing
from kybern.proxy.command import add_flags, node_addresses, options, run
from kybern.proxy.nftables import NFTables
from kybern.proxy.rules import Options


def flags(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return parser.parse_args(given)


NODE: dict[str, Any] = {
    "status": {
        "addresses": [
            {"type": "Hostname", "address": "n"},
            {"type": "ExternalIP", "address": "192.0.2.1"},
            {"type": "InternalIP", "address": "fd00::1"},
            {"type": "InternalIP", "address": "10.0.0.1"},
        ]
    }
}


@pytest.mark.parametrize("mode", ["iptables", "ipvs", "userspace", "kernelspace"])
async def test_other_modes_are_refused_by_name(mode: str) -> None:
    with pytest.raises(OperatorError, match=f'no proxy mode "{mode}": use --proxy-mode=nftables'):
        await run(flags(f"--proxy-mode={mode}"))


@pytest.mark.parametrize("wrong", ["--cluster-cidr=10.0.0.0/40", "--nodeport-addresses=x", "--bind-address=here"])
def test_what_is_no_address_is_named(wrong: str) -> None:
    with pytest.raises(OperatorError, match=wrong.split("=")[0]):
        options(flags(wrong))


def test_flags_become_options() -> None:
    found = options(
        flags("--cluster-cidr=10.244.0.0/16,fd00::/48", "--masquerade-all", "--nodeport-addresses=0.0.0.0/0")
    )
    assert found == Options(("10.244.0.0/16",), masquerade_all=True, nodeports_everywhere=True)
    assert options(flags()) == Options()


def test_the_primary_address_is_the_nodes_internal_one() -> None:
    assert node_addresses(flags(), NODE) == ("10.0.0.1",)
    assert node_addresses(flags("--bind-address=10.9.9.9"), NODE) == ("10.9.9.9",)
    assert node_addresses(flags(), None) == ()
    assert node_addresses(flags("--nodeport-addresses=127.0.0.0/8"), NODE) == ("127.0.0.1",)


async def test_a_machine_without_nft_is_told_so_and_has_nothing_to_clean() -> None:
    backend = NFTables(Options(), ("/nowhere/nft",))
    with pytest.raises(BackendMissing, match="is not installed; install the package nftables"):
        await backend.check()
    await backend.cleanup()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to stop being it")
async def test_who_is_not_root_is_told_so() -> None:
    backend = NFTables(Options(), ("setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all", "nft"))
    with pytest.raises(BackendMissing, match="run the proxy as root"):
        await backend.check()


def test_cleanup_without_nft_is_done_with_success() -> None:
    command = [sys.executable, "-m", "kybern", "proxy", "--cleanup"]
    done = subprocess.run(command, env={**os.environ, "PATH": "/nowhere"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
