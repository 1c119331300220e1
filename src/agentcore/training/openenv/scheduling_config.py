"""Settings of the scheduler of rollouts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SchedulingConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs_at_once: int = Field(
        1, ge=0, le=64, description="Scheduled rollouts that this process runs at once; 0: none."
    )
    poll_seconds: float = Field(
        2.0, gt=0, description="Seconds between two looks for what is due and what waits."
    )
    lease_seconds: float = Field(
        30.0,
        gt=0,
        description="Seconds without a sign of life after which another process takes over a job.",
    )
    max_attempts: int = Field(
        3, ge=1, le=100, description="How often a scheduled rollout is begun before it has failed."
    )
