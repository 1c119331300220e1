"""Values that cross the gateway: what is asked, what is answered, what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, get_args
from uuid import UUID

import orjson

from agentcore.kit.jsonvalue import JsonObject, JsonValue

Priority = Literal["high", "medium", "low"]
PRIORITIES: tuple[str, ...] = get_args(Priority)
Reason = Literal[
    "privacy_required", "cost_optimization", "exclusive_model", "cluster_saturated", "default"
]
Hosting = Literal["self_hosted", "api"]


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """``prompt_tokens`` includes ``cached_tokens``; ``completion_tokens`` includes reasoning."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """One chat completion on its way, as the data path sees it.

    ``body`` is the caller's document; it is shared, never changed. ``deadline`` is a moment of the
    monotonic clock.
    """

    model: str
    body: Mapping[str, JsonValue]
    stream: bool = False
    wants_usage: bool = False
    requires_privacy: bool = False
    priority: Priority = "medium"
    max_tokens: int | None = None
    prompt_bytes: int = 0
    tenant: str = "default"
    subject: str = ""
    trace_id: str = ""
    deadline: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMRequest:
    """A chat completion asked for in process.

    ``extras`` are further members of the OpenAI request (tools, response_format, seed, ...); they
    reach the provider unchanged.
    """

    model: str
    messages: Sequence[Mapping[str, JsonValue]]
    temperature: float | None = None
    max_tokens: int | None = None
    trace_id: str = ""
    requires_privacy: bool = False
    priority: Priority = "medium"
    tenant: str = "default"
    subject: str = "internal"
    extras: Mapping[str, JsonValue] = field(default_factory=dict)

    def call(self, *, stream: bool = False, deadline: float | None = None) -> ChatCall:
        body: JsonObject = {**self.extras, "model": self.model}
        body["messages"] = [dict(message) for message in self.messages]
        if self.temperature is not None:
            body["temperature"] = self.temperature
        if self.max_tokens is not None:
            body["max_tokens"] = self.max_tokens
        if stream:
            body["stream"] = True
        return ChatCall(
            model=self.model,
            body=body,
            stream=stream,
            requires_privacy=self.requires_privacy,
            priority=self.priority,
            max_tokens=self.max_tokens,
            prompt_bytes=len(orjson.dumps(body)),
            tenant=self.tenant,
            subject=self.subject,
            trace_id=self.trace_id,
            deadline=deadline,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMResponse:
    """``cost`` is in USD and None where no price is known; ``message`` is the provider's own."""

    content: str
    provider: str
    model: str
    usage: TokenUsage | None
    latency_ms: float
    trace_id: str = ""
    cost: Decimal | None = None
    finish_reason: str | None = None
    message: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A served model; ``exclusive_provider`` is the API provider that alone has it, if one does."""

    id: str
    providers: tuple[str, ...]
    exclusive_provider: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What a provider can take at this moment.

    ``available`` false excludes it for ``why``; ``has_capacity`` false means saturated. ``load`` is
    the share of its capacity in use, or its calls in flight where no limit is known.
    """

    available: bool = True
    has_capacity: bool = True
    load: float = 0.0
    why: str = ""


READY = Condition()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One line of the ledger. Unknown is None, never 0."""

    id: UUID
    at: datetime
    tenant: str
    subject: str
    provider: str
    model: str
    kind: Hosting
    status: str
    usage: TokenUsage | None
    latency_ms: float
    ttft_ms: float | None
    cost_usd: Decimal | None
    api_equivalent_usd: Decimal | None
    reason: Reason
    trace_id: str
    private: bool
