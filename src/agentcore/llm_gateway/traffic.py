"""How operators steer traffic: rollout, canaries, shadows, hedges, ranking, privacy, caching."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(ge=0, le=1)]


class RankingConfig(BaseModel):
    """What counts among APIs that could answer; each is measured against the worst of the field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cost: float = Field(1.0, ge=0, description="Weight of the expected cost.")
    latency: float = Field(0.0, ge=0, description="Weight of the expected time of an answer.")
    quality: float = Field(0.0, ge=0, description="Weight of what is missing in quality.")


class CanaryConfig(BaseModel):
    """A provider that is tried on a part of a model's traffic, and left when it fails more."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Served model whose traffic is split.")
    provider: str = Field(description="Provider that gets the share first.")
    share: Share = Field(description="Part of the callers, 0 to 1; a caller stays on one side.")
    least: int = Field(20, ge=1, description="Calls before it is judged.")
    margin: float = Field(
        0.1, ge=0, le=1, description="Failure rate above the others' at which it is left."
    )


class ShadowConfig(BaseModel):
    """A provider that gets copies of a model's calls; its answers are counted and dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Served model whose calls are copied.")
    provider: str = Field(description="Provider that gets the copies.")
    share: Share = Field(1.0, description="Part of the calls, 0 to 1.")


class HedgeConfig(BaseModel):
    """A second provider is asked when the first is late; whoever begins first answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: Share = Field(
        0.0, description="Calls of high priority that may be asked twice, as a part; 0: none."
    )
    floor: float = Field(0.5, gt=0, description="Seconds that the first has at least.")


class TrafficConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    self_hosted_share: Share = Field(
        1.0,
        description="Part of the callers who are sent to own hardware first: raise it step by "
        "step; 0 is the kill switch. Private calls are not affected.",
    )
    ranking: RankingConfig = Field(default_factory=RankingConfig)
    canaries: tuple[CanaryConfig, ...] = Field((), description="Providers on trial.")
    shadows: tuple[ShadowConfig, ...] = Field((), description="Providers that get copies.")
    shadow_queue: int = Field(
        64, ge=1, description="Copies that may wait; further ones are dropped and counted."
    )
    hedge: HedgeConfig = Field(default_factory=HedgeConfig)
    continuing: frozenset[str] = Field(
        frozenset(),
        description="Providers that go on with an answer whose beginning is the last message: "
        "they carry on streams that broke off, where callers want it.",
    )

    @property
    def named(self) -> set[str]:
        """The providers that it takes to exist."""
        tried = {each.provider for each in self.canaries}
        return tried | {each.provider for each in self.shadows} | self.continuing


class PrivacyConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = Field(
        (), description="Served names whose calls are private, with * and ?: e.g. *-private."
    )
    tenants: tuple[str, ...] = Field((), description="Tenants whose calls are all private.")
    detector: str = Field(
        "",
        description="Looks for what must not leave: empty: nothing does; builtin: e-mail "
        "addresses, card and account numbers, keys; or module:function, which gets the text.",
    )

    @field_validator("detector")
    @classmethod
    def _named(cls, name: str) -> str:
        if name not in {"", "builtin"} and not re.fullmatch(r"[\w.]+:\w+", name):
            raise ValueError(f"must be empty, 'builtin' or 'module:function', not {name!r}")
        return name


class CacheConfig(BaseModel):
    """Answers that are given again to requests that ask for it (``x-agentcore-cache``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int = Field(
        64 * 1024 * 1024, ge=0, description="Memory for answers, in bytes; 0: none is kept."
    )
    largest: int = Field(1024 * 1024, ge=1, description="Largest kept answer, in bytes.")
    longest: float = Field(
        3600.0, gt=0, le=86_400, description="Seconds that an answer is kept at most."
    )


STRAIGHT_AHEAD = TrafficConfig.model_validate({})
