"""What comes while nft runs is not taken for being in force."""

from __future__ import annotations

from kybern.proxy.nftables import NFTables
from kybern.proxy.rules import Options


class Slow(NFTables):
    """Its node gets an address while the first transaction is under way."""

    def __init__(self) -> None:
        super().__init__(Options())
        self.scripts: list[str] = []

    async def _nft(self, script: str, *flags: str) -> None:
        self.scripts.append(script)
        self.set_node_addresses(("192.0.2.7",))


async def test_addresses_that_come_during_a_sync_are_in_the_next() -> None:
    backend = Slow()
    await backend.sync({})
    assert "192.0.2.7" not in backend.scripts[0]
    assert await backend.sync({}) == 1
    assert backend.scripts[1] == "add element ip kube-proxy nodeport-ips { 192.0.2.7 }\n"
    assert await backend.sync({}) == 0
