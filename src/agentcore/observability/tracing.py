"""Spans: OpenTelemetry where it is installed and configured, nothing at all otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog
from anyio import move_on_after, to_thread

from agentcore.kit.errors import AgentCoreError, StartupError
from agentcore.observability.models import TracingConfig

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer as SdkTracer

Attribute = bool | int | float | str
SERVICE = "agentcore"
# A collector that is away must not hold up the stop of the service.
FAREWELL_SECONDS = 3.0
SECOND = 1_000_000_000

log = structlog.get_logger()


class Span(Protocol):
    """``attributes`` of a span; setting one again replaces it."""

    def set_attributes(self, attributes: Mapping[str, Attribute]) -> None: ...


class Told(NamedTuple):
    """When something ended and how long it took; ``failure`` is its kind, empty for a success."""

    ended: datetime
    seconds: float
    failure: str = ""


class Tracer(Protocol):
    @property
    def records(self) -> bool:
        """Whether anything is recorded at all."""
        ...

    def span(self, name: str, *, parent: str = "") -> AbstractContextManager[Span | None]:
        """A span around the block, inside ``parent`` (a W3C traceparent) or the current one.

        None when nobody records it: its attributes need not be computed. An error that leaves the
        block marks the span.
        """

    def record(
        self, name: str, told: Told, *, parent: str = "", attributes: Mapping[str, Attribute]
    ) -> None:
        """A span of something that is over, inside ``parent``."""


_NOTHING: AbstractContextManager[None] = nullcontext()


class NoTracing:
    records = False

    def span(self, name: str, *, parent: str = "") -> AbstractContextManager[None]:
        return _NOTHING

    def record(
        self, name: str, told: Told, *, parent: str = "", attributes: Mapping[str, Attribute]
    ) -> None: ...


NO_TRACING = NoTracing()


class OtelTracing:
    """Spans by the OpenTelemetry SDK; ``provider`` is shut down by whoever made it."""

    records = True

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer: SdkTracer = provider.get_tracer(SERVICE)

    @contextmanager
    def span(self, name: str, *, parent: str = "") -> Iterator[Span | None]:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({"traceparent": parent})
        with self._tracer.start_as_current_span(
            name, context if parent else None, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span if span.is_recording() else None
            except BaseException as error:
                _mark(span, error)
                raise

    def record(
        self, name: str, told: Told, *, parent: str = "", attributes: Mapping[str, Attribute]
    ) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        end = int(told.ended.timestamp() * SECOND)
        context = TraceContextTextMapPropagator().extract({"traceparent": parent}, Context())
        span = self._tracer.start_span(
            name,
            context,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=end - int(told.seconds * SECOND),
        )
        if told.failure:
            _blame(span, told.failure)
        span.end(end)


@asynccontextmanager
async def open_tracing(
    config: TracingConfig, *, farewell_seconds: float = FAREWELL_SECONDS
) -> AsyncIterator[Tracer]:
    """What ``config`` asks for; leaving it sends what still waits, for ``farewell_seconds``.

    Raises:
        StartupError: tracing is asked for and the extra ``otel`` is not installed.
    """
    if config.endpoint is None:
        yield NO_TRACING
        return
    provider, exporter = _provider(config, str(config.endpoint))
    try:
        yield OtelTracing(provider)
    finally:
        with move_on_after(farewell_seconds) as waiting:
            await to_thread.run_sync(provider.shutdown, abandon_on_cancel=True)
        if waiting.cancelled_caught:
            log.warning("spans could not be sent in time", endpoint=str(config.endpoint))
            # Ends the attempts that the abandoned thread still makes.
            exporter.shutdown()


def _provider(config: TracingConfig, endpoint: str) -> tuple[TracerProvider, SpanExporter]:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as exc:
        raise StartupError(
            "observability.tracing is configured and OpenTelemetry is not installed",
            hint="pip install 'agentcore[otel]', or leave AGENTCORE_OBSERVABILITY__TRACING out",
        ) from exc
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: SERVICE}),
        sampler=ParentBased(TraceIdRatioBased(config.sample)),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=endpoint)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider, exporter


def _mark(span: OtelSpan, error: BaseException) -> None:
    _blame(span, error.code if isinstance(error, AgentCoreError) else type(error).__name__)


def _blame(span: OtelSpan, kind: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, kind))
