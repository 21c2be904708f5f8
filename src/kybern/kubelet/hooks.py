"""Lifecycle hooks: postStart and preStop, by command, HTTP request or sleep.

Source: "Container Lifecycle Hooks" concept page, KEP-3960 (sleep).
"""

from __future__ import annotations

import asyncio

from kybern.api.types import Object
from kybern.kubelet.probes.base import ProbeError, Target
from kybern.kubelet.probes.http import get, headers_of, url_of
from kybern.kubelet.runtime.client import RuntimeFailure

_EXEC_LIMIT = 3600.0
"""Seconds a postStart command may take; preStop is bounded by the grace period."""


class HookFailed(Exception):
    """A hook failed; the message says how."""


async def run(handler: Object, target: Target) -> None:
    """Carry a handler out. Raises HookFailed."""
    if action := handler.get("exec"):
        await _exec(action.get("command") or [], target)
    elif action := handler.get("httpGet"):
        try:
            await get(url_of(target, action), headers_of(action))
        except (OSError, ValueError, ProbeError) as error:
            raise HookFailed(str(error)) from error
    elif action := handler.get("sleep"):
        await asyncio.sleep(action["seconds"])


async def _exec(command: list[str], target: Target) -> None:
    text = " ".join(command)
    try:
        code, output = await target.runtime.exec_sync(target.container_id, command, _EXEC_LIMIT)
    except RuntimeFailure as error:
        raise HookFailed(f"command '{text}' failed: {error.described}") from error
    if code:
        raise HookFailed(f"command '{text}' exited with {code}: {output.decode('utf-8', 'replace')}")
