"""The `timeout` parameter of requests: who asks for an answer in so many seconds gets one, if only that it took longer.

What was begun goes on: it may be half done, and is not undone. Source: API concepts, "Common query parameters".
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

from prometheus_client import Metric

from kybern.api.errors import BadRequest, Timeout
from kybern.apiserver.request import Request, Response, status_response
from kybern.process.flags import duration
from kybern.process.metrics import Counts

TOOK_TOO_LONG = "Timeout: request did not complete within the allotted timeout"

_overdue = Counts("apiserver_request_post_timeout", "Ends of requests after their time was up.", "source", "status")
_going_on: set[asyncio.Task[Response]] = set()
"""Requests that nobody waits for any more; tasks must be held on to."""


def asked(request: Request, limit: float) -> float:
    """The seconds that the request gives us, at most `limit` (0: any); 0 where it gives none. Raises BadRequest."""
    text = request.arg("timeout")
    if not text:
        return 0.0
    try:
        seconds = duration(text)
    except argparse.ArgumentTypeError:
        raise BadRequest(
            f'invalid timeout specified in the request URL - time: invalid duration "{text}"', details={}
        ) from None
    return min(seconds, limit) if limit else seconds


async def within(seconds: float, answer: Coroutine[Any, Any, Response]) -> Response:
    """The answer, or after so many seconds a 504 in its place."""
    task = asyncio.ensure_future(answer)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if done:
        return task.result()
    _going_on.add(task)
    task.add_done_callback(_ended)
    return too_late()


def _ended(task: asyncio.Task[Response]) -> None:
    _going_on.discard(task)
    bad = task.cancelled() or task.exception() is not None or task.result().status >= HTTPStatus.INTERNAL_SERVER_ERROR
    overdue(bad=bad)


def overdue(*, bad: bool) -> None:
    """Note the end of a request that was answered as too late before."""
    _overdue["timeout-handler", "error" if bad else "ok"] += 1


def family() -> Metric:
    """How such requests ended, for Prometheus."""
    return _overdue.family()


def too_late() -> Response:
    """What is answered to a request that took too long."""
    return status_response(Timeout(TOOK_TOO_LONG, details={}))
