from __future__ import annotations

import asyncio
import socket

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from agentcore.kit.errors import NotFound
from agentcore.observability.models import TracingConfig
from agentcore.observability.tracing import NO_TRACING, OtelTracing, open_tracing

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> OtelTracing:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return OtelTracing(provider)


def test_a_span_continues_the_callers_trace(
    tracing: OtelTracing, exporter: InMemorySpanExporter
) -> None:
    with tracing.span("outer", parent=PARENT) as span:
        assert span is not None
        span.set_attributes({"n": 1, "n.text": "x"})
        with tracing.span("inner"):
            pass
    inner, outer = exporter.get_finished_spans()
    assert outer.context is not None
    assert inner.parent is not None
    assert outer.parent is not None
    assert f"{outer.context.trace_id:032x}" == TRACE
    assert f"{outer.parent.span_id:016x}" == "b7ad6b7169203331"
    assert inner.parent.span_id == outer.context.span_id
    assert dict(outer.attributes or {}) == {"n": 1, "n.text": "x"}


@pytest.mark.parametrize("parent", ["", "nonsense", PARENT[:-1], "00-" + "0" * 32 + PARENT[35:]])
def test_without_a_valid_parent_a_trace_begins(
    parent: str, tracing: OtelTracing, exporter: InMemorySpanExporter
) -> None:
    with tracing.span("alone", parent=parent):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_a_parent_that_is_not_sampled_is_not_recorded(
    tracing: OtelTracing, exporter: InMemorySpanExporter
) -> None:
    with tracing.span("quiet", parent=PARENT[:-2] + "00") as span:
        assert span is None
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotFound("secret detail"), "not_found"),
        (ZeroDivisionError("secret detail"), "ZeroDivisionError"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
)
def test_an_error_marks_the_span_and_leaves_its_words_out(
    error: BaseException, kind: str, tracing: OtelTracing, exporter: InMemorySpanExporter
) -> None:
    with pytest.raises(type(error)), tracing.span("failing"):
        raise error
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == kind
    assert "secret" not in span.to_json()


async def test_nothing_is_traced_by_default() -> None:
    async with open_tracing(TracingConfig()) as tracer:
        assert tracer is NO_TRACING
        with tracer.span("x", parent=PARENT) as span:
            assert span is None


async def test_spans_are_sent_on_leaving() -> None:
    received: list[tuple[str, bytes]] = []

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().lower().splitlines()[1:-1])
        received.append((head.decode().split()[1], await reader.readexactly(_length(fields))))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(collect, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        config = TracingConfig.model_validate({"endpoint": f"http://127.0.0.1:{port}/v1/traces"})
        async with open_tracing(config) as tracer:
            with tracer.span("sent", parent=PARENT):
                pass
    assert received[0][0] == "/v1/traces"


async def test_a_collector_that_never_answers_does_not_hold_up_the_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        config = TracingConfig.model_validate({"endpoint": url})
        async with asyncio.timeout(60):
            async with open_tracing(config, farewell_seconds=0.2) as tracer:
                with tracer.span("unsent"):
                    pass


def _length(fields: dict[str, str]) -> int:
    return int(fields["content-length"])
