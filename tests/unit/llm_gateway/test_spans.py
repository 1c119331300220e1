from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.spans import CallSpans
from agentcore.observability.tracing import OtelTracing
from tests.unit.llm_gateway.conftest import call_record

TRACE = "0af7651916cd43dd8448eb211c80319c"
END = datetime(2026, 1, 1, 12, tzinfo=UTC)
LINE = call_record(
    id=UUID(int=7),
    at=END,
    provider="google",
    usage=TokenUsage(12, 3, 15, cached_tokens=4),
    latency_ms=1500.0,
    ttft_ms=250.0,
    cost_usd=Decimal("0.25"),
    trace_id=TRACE,
    traceparent=f"00-{TRACE}-b7ad6b7169203331-01",
)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> CallSpans:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return CallSpans(OtelTracing(provider), {"google": "gemini", "own": "parallax"})


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def test_an_answer(spans: CallSpans, exporter: InMemorySpanExporter) -> None:
    spans.write(LINE)
    span = only(exporter)
    assert (span.name, span.kind, span.status.status_code) == (
        "chat m",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert span.end_time == int(END.timestamp()) * 10**9
    assert span.start_time == span.end_time - 1_500_000_000
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "agentcore.provider": "google",
        "agentcore.reason": "default",
        "agentcore.private": False,
        "agentcore.status": "success",
        "agentcore.attempts": 1,
        "agentcore.cost_usd": 0.25,
        "agentcore.request_id": str(LINE.id),
    }


def test_a_failure_is_marked_and_what_is_unknown_is_absent(
    spans: CallSpans, exporter: InMemorySpanExporter
) -> None:
    line = LINE._replace(
        provider="own",
        status="upstream_timeout",
        usage=None,
        ttft_ms=None,
        cost_usd=None,
        dialect="embeddings",
        traceparent="",
        agent="planner",
        conversation="c1",
    )
    spans.write(line)
    span = only(exporter)
    assert span.name == "embeddings m"
    assert span.parent is None
    assert span.status.status_code is StatusCode.ERROR
    told = dict(span.attributes or {})
    assert told["error.type"] == "upstream_timeout"
    assert told["gen_ai.provider.name"] == "parallax"
    assert (told["gen_ai.agent.id"], told["gen_ai.conversation.id"]) == ("planner", "c1")
    assert not [name for name in told if "usage" in name or "cost" in name or "time" in name]


@pytest.mark.parametrize("status", ["cancelled", "cached"])
def test_who_left_and_what_was_given_again_are_no_failures(
    status: str, spans: CallSpans, exporter: InMemorySpanExporter
) -> None:
    spans.write(LINE._replace(status=status, provider="unknown"))
    span = only(exporter)
    assert span.status.status_code is StatusCode.UNSET
    assert (span.attributes or {})["gen_ai.provider.name"] == "compatible"
