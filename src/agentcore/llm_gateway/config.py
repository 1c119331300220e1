"""Settings of the gateway: the section ``llm_gateway``."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, model_validator

ProviderKind = Literal["parallax", "compatible", "openai"]
DEFAULT_URLS: dict[str, str] = {"openai": "https://api.openai.com/v1"}

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
    kind: ProviderKind = Field(description="The wire it speaks: parallax, compatible or openai.")
    base_url: str = Field(
        "",
        description="parallax: without a path; compatible and openai: up to and with /v1.",
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
    max_concurrency: int | None = Field(
        None, ge=1, le=100_000, description="Calls in flight at most; unset: no limit of our own."
    )

    @property
    def on_own_hardware(self) -> bool:
        return self.kind == "parallax" if self.self_hosted is None else self.self_hosted

    @property
    def url(self) -> str:
        return (self.base_url or DEFAULT_URLS.get(self.kind, "")).rstrip("/")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"base_url of provider {self.name!r} must be an http or https address")
        if parts.username or parts.password:
            raise ValueError(f"base_url of provider {self.name!r} carries a password; use api_key")
        if self.kind == "parallax" and parts.path.strip("/"):
            raise ValueError(f"base_url of the parallax provider {self.name!r} must have no path")
        if self.price is not None and self.price_model is not None:
            raise ValueError(f"provider {self.name!r}: give price or price_model, not both")
        return self


class GatewayConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    providers: tuple[ProviderConfig, ...] = Field(
        (), description="Upstreams, in order of preference among equals."
    )
    reference_model: str = Field(
        "gpt-5-mini",
        description="API model whose price tells what a self-hosted call would have cost.",
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

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [provider.name for provider in self.providers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two providers are named {twice[0]!r}; names must be unique")
        return self
