"""Values that cross the gateway: how it is configured, what is asked, answered and taken.

What is made for every call is a NamedTuple: it costs a quarter of a frozen dataclass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, Self, get_args
from uuid import UUID

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway.policy import NO_POLICY, Policy
from agentcore.llm_gateway.terms import NO_TERMS, Terms
from agentcore.llm_gateway.traffic import CacheConfig, PrivacyConfig, TrafficConfig

Priority = Literal["high", "medium", "low"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)


def at_most(priority: Priority, ceiling: int) -> Priority:
    """``priority``, or the one at place ``ceiling`` where that is lower."""
    return PRIORITIES[max(ceiling, PRIORITIES.index(priority))] if ceiling else priority


# Tenant and subject of a caller; NOBODY has no calls in line.
Owner = tuple[str, str]
NOBODY: Owner = ("", "")
Reason = Literal[
    "privacy_required",
    "cost_optimization",
    "exclusive_model",
    "cluster_saturated",
    "default",
    "policy",
    "rollout",
    "canary",
    "shadow",
]
# How a caller speaks: OpenAI's three APIs, and Anthropic's.
Dialect = Literal["chat", "responses", "embeddings", "messages"]
# What servers differ in; a provider says which of these it refuses.
Feature = Literal["tools", "forced_tools", "json", "images", "logprobs", "logit_bias", "n"]
Hosting = Literal["self_hosted", "api"]
ProviderKind = Literal["parallax", "compatible", "openai", "anthropic", "gemini", "portkey"]
# What a Parallax node answers with 500 or 400, as measured.
REFUSED_BY: Mapping[ProviderKind, frozenset[Feature]] = {
    "parallax": frozenset({"forced_tools", "json", "images", "logprobs", "logit_bias", "n"}),
    "anthropic": frozenset({"logprobs", "logit_bias", "n"}),
    "gemini": frozenset({"logit_bias"}),
}
DEFAULT_URLS: Mapping[ProviderKind, str] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta",
    "portkey": "https://api.portkey.ai/v1",
}
HTTP_URL = re.compile(
    r"https?://(?P<host>\[[0-9a-fA-F:.]+\]|[^/@?#\[\]:\s]+)(:(?P<port>\d{1,5}))?(?P<path>/[^?#\s]*)?"
)

ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Usd = Annotated[Decimal, Field(ge=0)]


class Timeouts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    connect: Seconds = Field(5.0, description="Seconds to reach the provider.")
    first_byte: Seconds = Field(
        60.0,
        description="Seconds until a stream's first content; a plain answer has the total.",
    )
    idle: Seconds = Field(30.0, description="Seconds of silence after which a stream is dead.")
    total: Seconds = Field(600.0, description="Seconds one call may take in all.")


DEFAULT_TIMEOUTS = Timeouts()
ASK: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Traits:
    """What does not change about a provider, and requests may ask for."""

    region: str = ""
    collects_data: bool = True
    zero_retention: bool = False
    quantization: str = ""
    context_tokens: int | None = None
    refuses: frozenset[Feature] = frozenset()
    quality: float = 0.5


NO_TRAITS = Traits()


class PriceOverride(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Usd = Field(description="USD per million prompt tokens.")
    output: Usd = Field(description="USD per million completion tokens.")
    cached: Usd | None = Field(
        None, description="USD per million cached prompt tokens; the prompt's price if unset."
    )


class ProviderConfig(BaseModel):
    """One upstream; a list of these is the setting ``llm_gateway.providers``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ProviderName = Field(description="Unique name in metrics, headers and decisions.")
    kind: ProviderKind = Field(
        description="The wire it speaks: parallax, compatible, openai, anthropic, gemini, portkey."
    )
    base_url: str = Field(
        "",
        description="parallax: without a path; compatible, openai, anthropic: up to and with /v1; "
        "gemini: up to and with /v1beta.",
        validate_default=True,
    )
    api_key: SecretStr | None = Field(
        None, description="The provider's key, by reference: env:NAME or file:PATH."
    )
    private: bool = Field(False, description="May receive privacy-classed requests.")
    self_hosted: bool | None = Field(
        None, description="Own hardware, preferred for cost; unset: true for parallax only."
    )
    models: dict[str, str] = Field(
        default_factory=dict,
        description="Served model name = the provider's own name; empty: ask the provider.",
    )
    price: PriceOverride | None = Field(
        None, description="USD per million tokens; self-hosted without a price counts as 0."
    )
    price_model: str | None = Field(
        None, description="Price it as this model of the price library, e.g. gpt-5-mini."
    )
    timeouts: Timeouts = Field(
        default_factory=Timeouts, description="Limits of one call, in seconds."
    )
    head_url: str = Field(
        "",
        pattern=r"^(https?://[^/?#\s]+)?$",
        description="parallax: a head node, without a path, whose engine's metrics are shown.",
    )
    max_concurrency: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Calls in flight at most; unset: learned for own hardware, none for an API.",
    )
    region: str = Field("", max_length=64, description="Where it computes, e.g. eu; any text.")
    collects_data: bool | None = Field(
        None, description="May keep or train on what it is sent; unset: true for APIs only."
    )
    zero_retention: bool = Field(False, description="Keeps nothing of what it is sent.")
    quantization: str = Field("", max_length=32, description="Of the weights, e.g. fp8.")
    context_tokens: int | None = Field(
        None, ge=1, description="Longest prompt and answer together, in tokens; unset: unknown."
    )
    refuses: frozenset[Feature] | None = Field(
        None,
        description="What it cannot do: tools, forced_tools, json, images, logprobs, logit_bias, "
        "n; unset: what is known of its kind.",
    )
    quality: float = Field(
        0.5, ge=0, le=1, description="How good its answers are, for ranking by quality."
    )

    @property
    def on_own_hardware(self) -> bool:
        return self.kind == "parallax" if self.self_hosted is None else self.self_hosted

    @property
    def traits(self) -> Traits:
        own = self.on_own_hardware
        collects = not own if self.collects_data is None else self.collects_data
        refuses = REFUSED_BY.get(self.kind, frozenset()) if self.refuses is None else self.refuses
        return Traits(
            region=self.region,
            collects_data=collects and not self.zero_retention,
            zero_retention=self.zero_retention,
            quantization=self.quantization,
            context_tokens=self.context_tokens,
            refuses=refuses,
            quality=self.quality,
        )

    @property
    def url(self) -> str:
        return (self.base_url or DEFAULT_URLS.get(self.kind, "")).rstrip("/")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        parts = HTTP_URL.fullmatch(self.url)
        if parts is None or not self.url.isascii():
            raise ValueError(
                f"base_url of provider {self.name!r} must be an http or https address in ASCII "
                "without user, query or fragment; a key goes to api_key"
            )
        if not 0 < int(parts["port"] or 80) < 2**16:
            raise ValueError(f"the port in base_url of provider {self.name!r} does not exist")
        if self.api_key is not None and not _fits_a_header(self.api_key.get_secret_value()):
            raise ValueError(
                f"api_key of provider {self.name!r} must be one line of printable ASCII"
            )
        if self.kind == "parallax" and parts["path"]:
            raise ValueError(f"base_url of the parallax provider {self.name!r} must have no path")
        if self.price is not None and self.price_model is not None:
            raise ValueError(f"provider {self.name!r}: give price or price_model, not both")
        return self


def _fits_a_header(key: str) -> bool:
    return key.isascii() and key.isprintable()


class QueueConfig(BaseModel):
    """Waiting for own hardware; APIs have no queue: a full one is passed over at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    places: int = Field(
        256, ge=0, le=100_000, description="Calls of one priority that may wait; 0: nobody waits."
    )
    patience: Seconds = Field(30.0, description="Seconds that a call waits at most.")
    reserve: float = Field(
        0.25, ge=0, lt=1, description="Share of the capacity that only high priority may take."
    )
    gather: float = Field(
        0.1,
        ge=0,
        le=10,
        description="Seconds that low priority waits when it comes after a pause: who comes with "
        "it and cannot wait starts first.",
    )
    ageing: Seconds = Field(
        15.0, description="Seconds of waiting after which a call counts as one priority higher."
    )


class GatewayConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    providers: tuple[ProviderConfig, ...] = Field(
        (), description="Upstreams, in order of preference among equals."
    )
    reference_model: str = Field(
        "gpt-5-mini",
        description="API model whose price tells what a self-hosted call would have cost.",
    )
    queue: QueueConfig = Field(
        default_factory=QueueConfig, description="How calls wait for own hardware that is full."
    )
    cache: CacheConfig = Field(
        default_factory=CacheConfig, description="Answers that are given again."
    )
    privacy: PrivacyConfig = Field(
        default_factory=PrivacyConfig, description="What is private without saying so."
    )
    traffic: TrafficConfig = Field(
        default_factory=TrafficConfig, description="Rollout, canaries, shadows, hedges, ranking."
    )
    max_body_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, description="Largest accepted request body, in bytes."
    )
    breaker_failures: int = Field(
        5, ge=1, description="Failures in a row after which a provider is left alone."
    )
    breaker_recovery: Seconds = Field(
        10.0, description="Seconds a failing provider is left alone before one trial call."
    )
    ledger_flush: Seconds = Field(
        0.5, description="Seconds between ledger writes: what a killed process can lose at most."
    )
    ledger_buffer: int = Field(
        50_000, ge=100, description="Calls kept in memory while the database is away."
    )

    budget_outage_share: Decimal = Field(
        Decimal("0.05"),
        ge=0,
        le=1,
        description="Share of a hard budget that each process may spend while the database is "
        "away, beyond what it holds.",
    )
    budget_answer_tokens: int = Field(
        8192,
        ge=1,
        description="The longest answer that a budget reckons with where a request has no limit.",
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [provider.name for provider in self.providers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two providers are named {twice[0]!r}; names must be unique")
        unknown = self.traffic.named - set(names)
        if unknown:
            raise ValueError(f"traffic names the provider {min(unknown)!r}, which is none")
        return self


class TokenUsage(NamedTuple):
    """``prompt_tokens`` includes what was read from and written to the provider's cache,
    ``completion_tokens`` includes reasoning and images; both include audio, and so do
    ``cached_tokens``. ``cache_write_tokens`` includes what the provider keeps for an hour.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_prompt_tokens: int = 0
    audio_completion_tokens: int = 0
    audio_cached_tokens: int = 0
    image_completion_tokens: int = 0
    web_searches: int = 0


class ChatCall(NamedTuple):
    """One call on its way, as the data path sees it.

    ``body`` is the caller's document in its ``dialect``; it is shared, never changed.
    ``deadline`` is a moment of the monotonic clock. ``agent`` and ``conversation`` are what the
    caller says of itself: for accounts, never for rights. ``beta`` names the features that it asks
    of Anthropic in the header ``anthropic-beta``; other providers are not told.
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
    dialect: Dialect = "chat"
    policy: Policy = NO_POLICY
    cache_seconds: float | None = None
    traceparent: str = ""
    key_id: str = ""
    agent: str = ""
    conversation: str = ""
    terms: Terms = NO_TERMS
    beta: str = ""
    resume: bool = False

    @property
    def owner(self) -> Owner:
        return self.tenant, self.subject


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
    traceparent: str = ""
    requires_privacy: bool = False
    priority: Priority = "medium"
    tenant: str = "default"
    subject: str = "internal"
    key_id: str = ""
    agent: str = ""
    conversation: str = ""
    terms: Terms = NO_TERMS
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
            priority=at_most(self.priority, self.terms.ceiling),
            max_tokens=self.max_tokens,
            prompt_bytes=len(orjson.dumps(body)),
            tenant=self.tenant,
            subject=self.subject,
            trace_id=self.trace_id,
            traceparent=self.traceparent,
            deadline=deadline,
            key_id=self.key_id,
            agent=self.agent,
            conversation=self.conversation,
            terms=self.terms,
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


class Condition(NamedTuple):
    """What a provider can take at this moment.

    ``available`` false excludes it for ``why``; ``has_capacity`` false means saturated: then
    ``wait`` is how long a call would stand in line, None where it cannot, and ``retry_after`` how
    soon it might start otherwise. ``outstanding`` are its calls, those in line included, and
    ``load`` is the share of its capacity in use, or those calls where no limit is known.
    """

    available: bool = True
    has_capacity: bool = True
    load: float = 0.0
    why: str = ""
    wait: float | None = None
    retry_after: float = 0.0
    outstanding: int = 0


class CallRecord(NamedTuple):
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
    key_id: str = ""
    agent: str = ""
    conversation: str = ""
    dialect: Dialect = "chat"
    price_source: str | None = None
    attempts: int = 1
    traceparent: str = ""
