"""exec: succeeds if a command run in the container exits with 0."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.kubelet.probes.base import ProbeError, Target
from kybern.kubelet.runtime.client import RuntimeFailure

_MAX_OUTPUT = 10 * 1024


class ExecProbe:
    field = "exec"

    async def probe(self, target: Target, action: Object, timeout: float) -> tuple[bool, str]:
        command = action.get("command") or []
        try:
            code, output = await target.runtime.exec_sync(target.container_id, command, timeout)
        except RuntimeFailure as error:
            if error.code == "DEADLINE_EXCEEDED" or "timed out" in error.message or "timeout" in error.message:
                return False, f'command timed out: "{" ".join(command)}" timed out after {timeout:g}s'
            raise ProbeError(error.described) from error
        return code == 0, output[:_MAX_OUTPUT].decode("utf-8", "replace")


PROBE = ExecProbe()
