"""How a remote command ended, as it travels on the error stream: a Status since v4, a line of text before."""

from __future__ import annotations

from typing import Any, TypeAlias

import orjson

Status: TypeAlias = dict[str, Any]
"""A meta/v1 Status as JSON."""

NON_ZERO_EXIT = "NonZeroExitCode"
EXIT_CODE = "ExitCode"


def success() -> Status:
    """The command ended with 0."""
    return {"metadata": {}, "status": "Success"}


def exited(code: int) -> Status:
    """The command ended with a code other than 0."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": NON_ZERO_EXIT,
        "details": {"causes": [{"reason": EXIT_CODE, "message": str(code)}]},
    }


def failed(message: str) -> Status:
    """The command could not be run, or not be followed to its end."""
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}


def encode(status: Status, *, structured: bool) -> bytes:
    """For the error stream; `structured` from v4 on. Success is silent before that."""
    if structured:
        return orjson.dumps(status)
    return b"" if status["status"] == "Success" else str(status["message"]).encode()


def decode(data: bytes) -> Status:
    """What came on an error stream, whichever version. Nothing at all means success."""
    if not data:
        return success()
    try:
        status = orjson.loads(data)
    except orjson.JSONDecodeError:
        return failed(data.decode(errors="replace"))
    return status if isinstance(status, dict) and "status" in status else failed(data.decode(errors="replace"))


def exit_code(status: Status) -> int | None:
    """The command's exit code; None where it didn't get that far."""
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or ():
        if cause.get("reason") == EXIT_CODE and str(cause.get("message", "")).isdigit():
            return int(cause["message"])
    return None
