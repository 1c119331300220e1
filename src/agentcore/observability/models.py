"""Configuration of what is observed."""

from __future__ import annotations

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field


class TracingConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: AnyHttpUrl | None = Field(
        None,
        description="OTLP/HTTP address that spans are sent to, such as "
        "`http://127.0.0.1:4318/v1/traces`; none: no tracing. Needs the extra `otel`.",
    )
    sample: float = Field(
        1.0, ge=0, le=1, description="Share of the traces begun here that are recorded."
    )


class ObservabilityConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tracing: TracingConfig = Field(
        default_factory=TracingConfig, description="Spans by OpenTelemetry."
    )
