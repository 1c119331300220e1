"""What one agent hands on to the next with a task: where it has been, and what is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from agentcore.kit.jsonvalue import JsonObject, JsonValue

# The member of a message's metadata; also the name by which cards and headers announce it.
EXTENSION = "urn:agentcore:ext/delegation/v1"
LONGEST_CHAIN = 32
TRACEPARENT = r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


class Hop(BaseModel):
    """An agent that the task has come through, where it runs, and its task there."""

    model_config = ConfigDict(frozen=True)

    installation: str = Field(max_length=64)
    agent: str = Field(max_length=255)
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
    budget_usd: Decimal | None = Field(None, ge=0, allow_inf_nan=False)
    private: bool = False
    playbook: JsonObject | None = None

    def as_json(self) -> JsonObject:
        dumped: JsonObject = self.model_dump(mode="json", exclude_none=True)
        return dumped


NO_HANDOVER = Handover()


def without_context(metadata: Mapping[str, JsonValue]) -> JsonObject:
    """What the sender's own metadata say beside the handover."""
    return {name: value for name, value in metadata.items() if name != EXTENSION}
