"""Spans, as a collector that speaks OTLP over gRPC receives them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from kybern.apiserver.tracing import RequestTracing
from kybern.process import tracing
from kybern.process.daemon import OperatorError
from kybern.process.tracing import Configuration, Tracing, load
from tests.integration.apiserver.inprocess import Api, serving

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, SPAN = bytes.fromhex(PARENT[3:35]), bytes.fromhex(PARENT[36:52])


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()

    def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, name: str) -> Any:
        (span,) = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    made.port = server.add_insecure_port("127.0.0.1:0")  # type: ignore[attr-defined]
    server.start()
    yield made
    server.stop(None)


class Traced:
    def __init__(self, api: Api, collector: Any, per_million: int) -> None:
        self.api, self.collector = api, collector
        self.tracing = Tracing.configured(Configuration(f"127.0.0.1:{collector.port}", per_million), "apiserver")
        api.app.tracing = RequestTracing(api.app, self.tracing)

    async def exported(self) -> Any:
        """The collector, once it has everything."""
        await asyncio.to_thread(self.tracing.close)
        return self.collector


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving() as made:
        yield made


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


async def test_a_request_of_the_trusted_continues_its_trace_with_its_parts(api: Api, collector: Any) -> None:
    traced = Traced(api, collector, 0)
    path = "/api/v1/namespaces/default/configmaps"
    await api.ok("POST", path, {"metadata": {"name": "untraced"}})
    await api.ok("POST", path, {"metadata": {"name": "traced"}}, traceparent=PARENT)
    found = await traced.exported()
    root = found.named("POST /api/v1/namespaces/{:namespace}/configmaps")
    assert (root.trace_id, root.parent_span_id) == (TRACE, SPAN)
    assert attributes(root).items() >= {"url.path": path, "http.response.status_code": 201}.items()
    parts = {span.name for span in found.spans if span.parent_span_id == root.span_id}
    assert parts == {"Flow control", "Authorization", "Mutating admission", "Validating admission", "Store create"}
    assert found.services == {"apiserver"}


async def test_who_is_not_trusted_can_not_have_us_sample_but_is_linked(api: Api, collector: Any) -> None:
    traced = Traced(api, collector, 1_000_000)
    await api.refused(403, "GET", "/api/v1/nodes/n", who="someone", traceparent=PARENT)
    found = await traced.exported()
    root = found.named("GET /api/v1/nodes/{:name}")
    assert root.trace_id != TRACE and not root.parent_span_id
    assert [link.trace_id for link in root.links] == [TRACE]
    assert attributes(root)["http.response.status_code"] == 403


async def test_a_watch_lasts_as_long_as_it_lasts_and_unsampled_is_unsent(api: Api, collector: Any) -> None:
    traced = Traced(api, collector, 1_000_000)
    async with api.watch("/api/v1/namespaces/default/configmaps"):
        await asyncio.sleep(0.05)
    found = await traced.exported()
    span = found.named("GET /api/v1/namespaces/{:namespace}/configmaps")
    assert span.end_time_unix_nano - span.start_time_unix_nano > 50_000_000


async def test_others_hear_of_the_trace_only_where_there_is_one(api: Api, collector: Any) -> None:
    traced, headers = Traced(api, collector, 0), dict[str, str]()
    tracing.inject(headers)
    assert headers == {}
    with traced.tracing.within(traced.tracing.begin("x", {"traceparent": PARENT}, 1.0, trusted=True)):
        tracing.inject(headers)
    assert headers["traceparent"].startswith(PARENT[:36]) and headers["traceparent"] != PARENT
    await traced.exported()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"samplingRatePerMillion": -1}, "sampling rate must be positive"),
        ({"samplingRatePerMillion": 1_000_001}, "must be less than or equal to one million"),
        ({"endpoint": ":::"}, "tracing.endpoint: Invalid value"),
        ({"rate": 1}, 'unknown field "rate"'),
        ({"kind": "Other"}, "must be of kind TracingConfiguration"),
    ],
)
def test_files_that_are_no_good(tmp_path: Path, content: dict[str, Any], said: str) -> None:
    path = tmp_path / "tracing"
    head = {"kind": "TracingConfiguration", "apiVersion": "apiserver.config.k8s.io/v1"}
    path.write_text(json.dumps({**head, **content}))
    with pytest.raises(OperatorError, match=said):
        load(path)
    path.write_text(json.dumps({**head, "samplingRatePerMillion": 5}))
    assert load(path) == Configuration("localhost:4317", 5)
