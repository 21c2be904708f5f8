"""Tracing with OpenTelemetry, for those who configure it: nothing of it is even imported otherwise.

    tracing = Tracing.configured(load(path), "apiserver")
    with tracing.span("Authorization", user="jane"): ...
    inject(headers)                    # of requests to others: traceparent, where there is a current span

Source: KEP-647; API reference, TracingConfiguration (apiserver.config.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kybern.process.daemon import OperatorError

if TYPE_CHECKING:
    from opentelemetry.trace import Span

KIND = "TracingConfiguration"
VERSIONS = tuple(f"apiserver.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
DEFAULT_ENDPOINT = "localhost:4317"
MILLION = 1_000_000

_inject: Callable[[MutableMapping[str, str]], None] | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where spans go, by OTLP over gRPC, and how many requests of a million begin a trace."""

    endpoint: str = DEFAULT_ENDPOINT
    per_million: int = 0


def load(path: Path) -> Configuration:
    """Read the file of --tracing-config-file. Raises OperatorError."""
    import yaml

    flag = f"--tracing-config-file {path}"
    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise OperatorError(f"{flag}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise OperatorError(f"{flag}: no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or document.get("kind") != KIND or document.get("apiVersion") not in VERSIONS:
        raise OperatorError(f"{flag}: it must be of kind {KIND} in {VERSIONS[0]}")
    if unknown := sorted(document.keys() - {"kind", "apiVersion", "endpoint", "samplingRatePerMillion"}):
        raise OperatorError(f'{flag}: unknown field "{unknown[0]}"')
    rate, endpoint = document.get("samplingRatePerMillion") or 0, document.get("endpoint") or DEFAULT_ENDPOINT
    where = "tracing.samplingRatePerMillion: Invalid value"
    if not isinstance(rate, int) or rate < 0:
        raise OperatorError(f"{flag}: {where}: {rate}: sampling rate must be positive")
    if rate > MILLION:
        raise OperatorError(f"{flag}: {where}: {rate}: sampling rate must be less than or equal to one million")
    if not isinstance(endpoint, str) or not urlsplit(f"//{endpoint.rpartition('://')[2]}").hostname:
        raise OperatorError(f'{flag}: tracing.endpoint: Invalid value: "{endpoint}": must be like localhost:4317')
    return Configuration(endpoint, rate)


def inject(headers: MutableMapping[str, str]) -> None:
    """Let whom a request goes to continue the trace."""
    if _inject is not None:
        _inject(headers)


class Tracing:
    """Makes spans."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider, self._trace = provider, trace
        self._tracer = provider.get_tracer("kybern")
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def configured(cls, configuration: Configuration, service: str) -> Tracing:
        """Export to the configured endpoint, from now on. Raises OperatorError without OpenTelemetry."""
        global _inject
        try:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
        except ImportError as error:
            raise OperatorError(
                f"tracing needs OpenTelemetry ({error.name} is missing): pip install 'kybern[tracing]'"
            ) from error
        rate = configuration.per_million
        sampler = ParentBased(TraceIdRatioBased(rate / MILLION) if rate else ALWAYS_OFF)
        provider = TracerProvider(sampler=sampler, resource=Resource.create({"service.name": service}))
        exporter = OTLPSpanExporter(endpoint=configuration.endpoint, insecure=True)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        made = cls(provider)
        _inject = made._propagator.inject
        return made

    def begin(self, name: str, headers: Mapping[str, str], began: float, *, trusted: bool, **attributes: Any) -> Span:
        """The span of a request that came with these headers at `began` (seconds since the epoch). Who isn't trusted
        to have us sample begins a trace of its own, with a link to what it sent."""
        sent = self._propagator.extract(headers)
        context, links = (sent if trusted else None), []
        remote = self._trace.get_current_span(sent).get_span_context()
        if not trusted and remote.is_valid:
            links = [self._trace.Link(remote)]
        span: Span = self._tracer.start_span(
            name, context=context, kind=self._trace.SpanKind.SERVER, links=links, attributes=attributes,
            start_time=int(began * 1e9),
        )  # fmt: skip
        return span

    def within(self, span: Span) -> AbstractContextManager[Span]:
        """Have what is done in it be part of the span; it isn't ended."""
        return self._trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)

    def span(self, name: str, **attributes: Any) -> AbstractContextManager[Span]:
        """A part of the current span."""
        span: AbstractContextManager[Span] = self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        )
        return span

    def close(self) -> None:
        """Export what is left. Blocks."""
        global _inject
        _inject = None
        self._provider.shutdown()
