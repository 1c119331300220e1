"""A span for each call, by OpenTelemetry's conventions for generative AI; never its content."""

from __future__ import annotations

from collections.abc import Mapping

from agentcore.llm_gateway.accounts import CACHED, CANCELLED, SUCCESS
from agentcore.llm_gateway.models import CallRecord, Dialect, ProviderKind
from agentcore.observability.tracing import Attribute, Told, Tracer

OPERATIONS: Mapping[Dialect, str] = {
    "chat": "chat",
    "responses": "chat",
    "messages": "chat",
    "embeddings": "embeddings",
}
# Names that the conventions give; others go by their kind.
SYSTEMS: Mapping[ProviderKind, str] = {"gemini": "gcp.gemini"}


class CallSpans:
    """``kinds`` says what a provider is, by its name, now."""

    def __init__(self, tracer: Tracer, kinds: Mapping[str, ProviderKind]) -> None:
        self._tracer = tracer
        self._kinds = kinds

    def write(self, line: CallRecord) -> None:
        failed = line.status not in {SUCCESS, CACHED, CANCELLED}
        operation = OPERATIONS[line.dialect]
        self._tracer.record(
            f"{operation} {line.model}",
            Told(line.at, line.latency_ms / 1000, line.status if failed else ""),
            parent=line.traceparent,
            attributes={**self._asked(line, operation), **_answered(line)},
        )

    def _asked(self, line: CallRecord, operation: str) -> dict[str, Attribute]:
        kind = self._kinds.get(line.provider, "compatible")
        return {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": SYSTEMS.get(kind, kind),
            "gen_ai.request.model": line.model,
            "agentcore.provider": line.provider,
            "agentcore.reason": line.reason,
            "agentcore.private": line.private,
            "agentcore.status": line.status,
            "agentcore.attempts": line.attempts,
            "agentcore.request_id": str(line.id),
        }


def _answered(line: CallRecord) -> dict[str, Attribute]:
    """What is unknown is absent."""
    told: dict[str, Attribute] = {}
    if line.usage is not None:
        told["gen_ai.usage.input_tokens"] = line.usage.prompt_tokens
        told["gen_ai.usage.output_tokens"] = line.usage.completion_tokens
        told["gen_ai.usage.cache_read.input_tokens"] = line.usage.cached_tokens
    if line.ttft_ms is not None:
        told["gen_ai.response.time_to_first_chunk"] = line.ttft_ms / 1000
    if line.cost_usd is not None:
        told["agentcore.cost_usd"] = float(line.cost_usd)
    if line.conversation:
        told["gen_ai.conversation.id"] = line.conversation
    if line.agent:
        told["gen_ai.agent.id"] = line.agent
    return told
