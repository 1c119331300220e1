"""Settings of the kit's own parts; apart from them, so that reading settings loads no driver."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DatabaseConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        "",
        description="PostgreSQL 14 or newer, e.g. postgresql://user:password@host/agentcore; "
        "empty: an embedded server in the home directory.",
    )
    pool_size: int = Field(20, ge=1, le=200, description="Connections kept open per process.")
    max_overflow: int = Field(0, ge=0, le=200, description="Connections opened beyond the pool.")
    pool_timeout: float = Field(5.0, gt=0, description="Seconds to wait for a free connection.")
    connect_timeout: float = Field(5.0, gt=0, description="Seconds to wait for a new connection.")
    command_timeout: float = Field(30.0, gt=0, description="Seconds one statement may take.")


class CacheConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        "",
        description="Redis or Valkey, e.g. redis://:password@host:6379/0; empty: an embedded "
        "server in the home directory.",
    )
    namespace: str = Field("agentcore", description="Prefix of every key and channel.")
    required: bool = Field(
        True,
        description="Whether an unreachable url refuses the start; false starts degraded.",
    )
    timeout: float = Field(1.0, gt=0, description="Seconds one cache command may take.")
