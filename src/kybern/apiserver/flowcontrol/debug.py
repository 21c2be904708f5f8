"""/debug/api_priority_and_fairness: what the levels, their queues and the requests in them are at, as text.

Source: Kubernetes documentation, "API Priority and Fairness", "Debug endpoints"; columns are upstream's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kybern.apiserver.flowcontrol.control import FlowControl
from kybern.apiserver.flowcontrol.level import Level
from kybern.apiserver.request import Request, Response
from kybern.process.clock import clock, format_time, monotonic

if TYPE_CHECKING:
    from kybern.apiserver.app import App

_BASE = "/debug/api_priority_and_fairness"
_NONE = "<none>"
_LEVELS = ("PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests",
           "DispatchedRequests", "RejectedRequests", "TimedoutRequests", "CancelledRequests")  # fmt: skip
_QUEUES = ("PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR",
           "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum")  # fmt: skip
_REQUESTS = ("PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher",
             "ArriveTime", "InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime")  # fmt: skip
_DETAILS = ("UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource")

Rows = Iterator[tuple[object, ...]]


def add_routes(app: App, flows: FlowControl) -> None:
    """Serve the paths."""

    def route(name: str, rows: Callable[[Request], Rows]) -> None:
        async def serve(_: App, request: Request) -> Response:
            text = _table([[_text(cell) for cell in row] for row in rows(request)])
            return Response(200, text.encode("utf-8", "replace"), "text/plain; charset=utf-8")

        app.route(f"{_BASE}/{name}", serve)

    def sorted_levels() -> list[Level]:
        return sorted(flows.levels.values(), key=lambda level: level.name)

    route("dump_priority_levels", lambda _: _levels(sorted_levels()))
    route("dump_queues", lambda _: _queues(sorted_levels()))
    route("dump_requests", lambda request: _requests(sorted_levels(), bool(request.arg("includeRequestDetails"))))


def _levels(levels: list[Level]) -> Rows:
    yield _LEVELS
    for level in levels:
        counts = level.counts.values()
        refused: dict[str, int] = {}
        for count in counts:
            for reason, number in count.rejected.items():
                refused[reason] = refused.get(reason, 0) + number
        active = sum(1 for queue in level.queues if queue.waiting)
        yield (
            level.name, active, level.idle, level.quiescing, level.waiting, level.executing,
            sum(count.dispatched for count in counts), sum(refused.values()), refused.get("time-out", 0),
            refused.get("cancelled", 0),
        )  # fmt: skip


def _queues(levels: list[Level]) -> Rows:
    yield _QUEUES
    for level in levels:
        if level.exempt:
            yield (level.name, *[_NONE] * (len(_QUEUES) - 1))
        for queue in level.queues:
            initial = sum(ticket.work.initial for ticket in queue.waiting)
            yield (
                level.name, queue.index, len(queue.waiting), queue.executing, queue.seats, f"{queue.next_r:.8f}ss",
                initial, queue.waiting_seats, f"{queue.waiting_work:.8f}ss",
            )  # fmt: skip


def _requests(levels: list[Level], details: bool) -> Rows:
    yield (*_REQUESTS, *_DETAILS) if details else _REQUESTS
    now, wall = monotonic(), clock.time()
    for level in levels:
        for queue in level.queues:
            for place, ticket in enumerate(queue.waiting):
                flow, work, info = ticket.flow, ticket.work, ticket.request.info
                arrived = format_time(wall - (now - ticket.arrived))
                row: tuple[object, ...] = (
                    level.name, flow.schema.name, queue.index, place, flow.distinguisher, arrived, work.initial,
                    work.final, f"{work.seconds:g}s", "0001-01-01T00:00:00Z",
                )  # fmt: skip
                if details:
                    version = f"{info.group}/{info.version}" if info.group else info.version
                    row += (
                        ticket.request.user.name, info.verb, info.path, info.namespace, info.name, version,
                        info.resource, info.subresource,
                    )  # fmt: skip
                yield row


def _text(cell: object) -> str:
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _table(rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell, and a comma behind each cell but the last."""
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [f"{cell}," for cell in row[:-1]]
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
        lines.append("".join(padded) + row[-1])
    return "\n".join([*lines, ""])
