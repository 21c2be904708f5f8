"""The kernel's nftables through the program nft: one transaction replaces everything, later ones what differs."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from kybern.process.clock import monotonic
from kybern.process.metrics import Counter
from kybern.proxy.base import BackendError, BackendMissing, Changed
from kybern.proxy.rules import TABLE, Options, new_table, node_piece, service_piece

log = logging.getLogger(__name__)

_FAILURES = Counter(
    "kubeproxy_sync_proxy_rules_nftables_sync_failures", "Cumulative proxy nftables sync failures", ["ip_family"]
)
_CLEANUP_FAILURES = Counter(
    "kubeproxy_sync_proxy_rules_nftables_cleanup_failures", "Cumulative proxy nftables cleanup failures", ["ip_family"]
)


class NFTables:
    """A Backend. `program` is how nft is started: `("ip", "netns", "exec", NAME, "nft")` works in a namespace."""

    def __init__(self, options: Options, program: tuple[str, ...] = ("nft",)) -> None:
        self.options = options
        self.table = new_table(options)
        self.stale_seconds = 1.0
        """How long a chain is left after it became unused."""
        self._program = program
        self._in_force = False
        self._addresses: tuple[str, ...] = ()
        self._stale: dict[str, float] = {}
        """Emptied chains and when they were."""

    async def check(self) -> None:
        try:
            await self._nft(f"add table ip {TABLE}\n", "--check")
        except BackendError as error:
            if "not permitted" in str(error):
                raise BackendMissing("nftables may only be changed by root; run the proxy as root") from error
            raise BackendMissing(f"nftables can't be used here: {error}") from error

    async def sync(self, changed: Changed) -> int:
        for service, (_, routed) in changed.items():
            self.table.put(service, service_piece(routed, self.options) if routed else None)
        self.table.put("node", node_piece(self._addresses))
        changes = self.table.changes()
        rebuild = not self._in_force
        if not changes and not rebuild:
            return 0
        self._in_force = False  # unless it is known to have gone well
        try:
            await self._nft(self.table.rebuild() if rebuild else self.table.update(changes))
        except BackendError:
            _FAILURES.labels("IPv4").inc()
            raise
        self._in_force = True
        self.table.commit()
        if rebuild:
            self._stale.clear()
        else:
            for name, (_, now) in changes.chains.items():
                self._stale.pop(name, None)
                if now is None:
                    self._stale[name] = monotonic()
        return len(changes)

    async def verify(self) -> bool:
        await self._delete_stale()
        try:
            await self._nft(f"list map ip {TABLE} service-nodeports\n")
        except BackendError:
            self._in_force = False
        return self._in_force

    def set_node_addresses(self, addresses: tuple[str, ...]) -> None:
        # Not into the table at once: while nft runs, what comes would count as in force.
        self._addresses = addresses

    async def cleanup(self) -> None:
        with contextlib.suppress(BackendMissing):
            await self._nft(self.table.remove())

    async def _delete_stale(self) -> None:
        """Take away chains that nothing leads to any more."""
        old = monotonic() - self.stale_seconds
        names = [name for name, since in self._stale.items() if since <= old]
        if not names:
            return
        try:
            await self._nft(self.table.delete_chains(names))
        except BackendError as error:
            _CLEANUP_FAILURES.labels("IPv4").inc()
            log.warning("can't delete %d unused chains, trying again later: %s", len(names), error)
        else:
            for name in names:
                self._stale.pop(name, None)

    async def _nft(self, script: str, *flags: str) -> None:
        """Run one transaction. Raises BackendError with what nft says, BackendMissing if there is no nft."""
        pipe = asyncio.subprocess.PIPE
        command = (*self._program, *flags, "-f", "-")
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=asyncio.subprocess.DEVNULL, stderr=pipe
            )
        except FileNotFoundError:
            raise BackendMissing(f"{self._program[0]} is not installed; install the package nftables") from None
        try:
            _, said = await process.communicate(script.encode())
        except asyncio.CancelledError:
            # Killed at any point, it has done all of its transaction or nothing.
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise BackendError(said.decode(errors="replace").strip().partition("\n")[0] or f"nft: {process.returncode}")
