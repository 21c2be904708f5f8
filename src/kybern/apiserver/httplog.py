"""A line for each request, from -v 3 on, with upstream's fields: "HTTP" verb="GET" URI="/api" ... resp=200."""

from __future__ import annotations

import logging

from kybern.apiserver.request import Request, Response
from kybern.process import logs

LEVEL = logs.level(3)

log = logging.getLogger(__name__)


def on() -> bool:
    """Whether anybody wants to know."""
    return log.isEnabledFor(LEVEL)


def note(request: Request, response: Response, seconds: float) -> None:
    """Write of an answer."""
    uri = f"{request.path}?{request.query}" if request.query else request.path
    host, port = request.client
    said: dict[str, str | int] = {
        "verb": request.info.verb.upper(),
        "URI": uri,
        "latency": f"{seconds * 1000:.3f}ms",
        "userAgent": request.headers.get("user-agent", ""),
        "audit-ID": next((value for name, value in reversed(response.headers) if name == "audit-id"), ""),
        "srcIP": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
    }
    flow = getattr(request.ticket, "flow", None)
    if flow is not None:
        said |= {"apf_pl": flow.level.name, "apf_fs": flow.schema.name, "apf_fd": flow.distinguisher}
    said["resp"] = response.status
    log.log(LEVEL, "HTTP", extra={logs.FIELDS: said})
