"""What one agent hands on to the next with a task: where it has been, and what is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentcore.kit.jsonvalue import JsonObject, JsonValue

# The member of a message's metadata; also the name by which cards and headers announce it.
EXTENSION = "urn:agentcore:ext/delegation/v1"
# In the metadata of a task that was handed on, and of the event that ends it.
SPENT = f"{EXTENSION}/spent"
LONGEST_CHAIN = 32
LONGEST_NAME = 255
MOST_TOKENS = 10**9
# Decimal takes a number of a million digits, and databases do not.
Usd = Annotated[Decimal, Field(ge=0, le=10**9, decimal_places=30, allow_inf_nan=False)]
TRACEPARENT = r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


class Hop(BaseModel):
    """An agent that the task has come through, where it runs, and its task there."""

    model_config = ConfigDict(frozen=True)

    installation: str = Field(max_length=64)
    agent: str = Field(max_length=LONGEST_NAME)
    task: str = Field("", max_length=1024)

    def is_same(self, other: Hop) -> bool:
        """Whether it is the same agent, whatever its task."""
        return (self.installation, self.agent) == (other.installation, other.agent)


class Handover(BaseModel):
    """Every agent on the way may take from it and adds its own hop; none may give more."""

    model_config = ConfigDict(frozen=True)

    chain: tuple[Hop, ...] = Field((), max_length=LONGEST_CHAIN)
    traceparent: str | None = Field(None, pattern=TRACEPARENT)
    deadline_seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    budget_usd: Usd | None = None
    private: bool = False
    playbook: JsonObject | None = None

    def as_json(self) -> JsonObject:
        dumped: JsonObject = self.model_dump(mode="json", exclude_none=True)
        return dumped


NO_HANDOVER = Handover()


class Spent(BaseModel):
    """What a task has cost, with all that worked for it; ``cost_usd`` is None where unknown."""

    model_config = ConfigDict(frozen=True)

    cost_usd: Usd | None = None
    tokens: int = Field(0, ge=0, le=MOST_TOKENS)

    def __add__(self, other: Spent) -> Spent:
        costs = [each.cost_usd for each in (self, other) if each.cost_usd is not None]
        return Spent.model_construct(
            cost_usd=sum(costs, Decimal(0)) if costs else None, tokens=self.tokens + other.tokens
        )

    def __bool__(self) -> bool:
        return bool(self.tokens) or self.cost_usd is not None

    def as_json(self) -> JsonObject:
        cost = None if self.cost_usd is None else f"{self.cost_usd:f}"
        return {"cost_usd": cost, "tokens": self.tokens}


NOTHING_SPENT = Spent()


def told_spent(metadata: Mapping[str, JsonValue]) -> Spent:
    """What the metadata of a task or of its last event say; nothing where that is no sum."""
    try:
        return Spent.model_validate(metadata.get(SPENT, {}))
    except ValidationError:
        return NOTHING_SPENT


def without_context(metadata: Mapping[str, JsonValue]) -> JsonObject:
    """What the sender's own metadata say beside the handover."""
    return {name: value for name, value in metadata.items() if name != EXTENSION}
