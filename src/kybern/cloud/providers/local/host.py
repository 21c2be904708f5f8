"""What this machine's kernel is told, through the program `ip`."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterable
from typing import Any

from kybern.cloud.provider import CloudError


async def ip(words: str) -> Any:
    """What `ip -json` says to these words; None if nothing. Raises CloudError."""
    out = await run("ip", "-json", "-4", *words.split())
    return json.loads(out) if out.strip() else None


async def run(*command: str) -> str:
    """The output of a command. Raises CloudError with what it says if it fails."""
    pipe = asyncio.subprocess.PIPE
    try:
        child = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise CloudError(f"can't run {command[0]}: {error.strerror}") from error
    out, said = await child.communicate()
    if child.returncode:
        why = " ".join(said.decode(errors="replace").split()) or f"it ended with {child.returncode}"
        raise CloudError(f"`{' '.join(command)}` failed: {why}")
    return out.decode()


async def keep_addresses(interface: str, wanted: Iterable[str]) -> None:
    """Have an interface with just these addresses; without any it isn't made. Raises CloudError."""
    addresses = set(wanted)
    if interface not in (name for _, name in socket.if_nameindex()):
        if not addresses:
            return
        # A bridge that nothing is on: not every kernel has dummy interfaces, and nodes need bridges anyway.
        await ip(f"link add {interface} type bridge")
    await ip(f"link set {interface} up")
    there = {held["local"] for link in await ip(f"address show dev {interface}") or () for held in link["addr_info"]}
    for address in sorted(there - addresses):
        await ip(f"address del {address}/32 dev {interface}")
    for address in sorted(addresses - there):
        await ip(f"address add {address}/32 dev {interface}")
