"""What is delegated, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agentcore.a2a_protocol.models.agent_card import Name
from agentcore.a2a_protocol.models.handover import Usd, without_context
from agentcore.kit import jsonvalue
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of

# A connection is held for so long; who waits longer asks again, by the same messageId.
LONGEST_WAIT = 3600.0


class Delegation(BaseModel):
    """``task_id`` is the caller's own task on whose behalf it asks.

    ``message`` is a text, a message of A2A 1.0, or any other object, which goes as data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    message: str | JsonObject
    task_id: str | None = Field(None, min_length=1, max_length=1024)
    target_agent: str | None = Field(None, min_length=1, max_length=255)
    capabilities: tuple[Name, ...] = Field((), max_length=100)
    skills: tuple[Name, ...] = Field((), max_length=100)
    deadline_seconds: float | None = Field(None, gt=0, allow_inf_nan=False)
    budget_usd: Usd | None = None
    private: bool = False
    wait_seconds: float | None = Field(None, ge=0, le=LONGEST_WAIT, allow_inf_nan=False)

    @property
    def whole(self) -> JsonObject:
        """The message, where it is one of A2A; else nothing."""
        said = self.message
        return said if isinstance(said, dict) and "parts" in said else {}

    def repeats(self, attempt: int) -> str:
        """The same for each repetition of that attempt; empty where the message has no id.

        Neither the agent that was chosen nor what is left of time and money belongs to it.
        """
        if not self.whole.get("messageId"):
            return ""
        metadata = without_context(object_of(self.whole.get("metadata")))
        asked: list[JsonValue] = [
            "agent.delegate",
            attempt,
            {**self.whole, "metadata": metadata},
            self.target_agent,
            [*sorted(self.capabilities)],
            [*sorted(self.skills)],
            self.task_id,
            self.private,
        ]
        return jsonvalue.dumps(asked).decode()


# PostgreSQL's text holds every character but NUL.
Text = Annotated[str, Field(max_length=1024, pattern=r"^[^\x00]*$")]


class Asked(BaseModel):
    """Which interactions; an agent and a task on either side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent_id: Text | None = None
    task_id: Text | None = None
    trace_id: Text | None = None
    limit: int = Field(50, ge=1, le=100, description="Most rows of one page.")
    cursor: str | None = Field(
        None, max_length=4096, description="The next_cursor of the page before."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One agent has handed a task on to another; ``cost_usd`` and the like come with its end."""

    task_id: str
    tenant: str
    owner: str
    source_agent: str
    source_task: str
    source_installation: str
    target_agent: str
    trace_id: str
    depth: int
    private: bool
    state: str
    created_at: datetime
    budget_usd: Decimal | None = None
    ended_at: datetime | None = None
    error: str | None = None
    seconds: float | None = None
    tokens: int | None = None
    cost_usd: Decimal | None = None

    def as_json(self) -> JsonObject:
        return {
            "task_id": self.task_id,
            "source_agent": self.source_agent or None,
            "source_task": self.source_task or None,
            "source_installation": self.source_installation or None,
            "target_agent": self.target_agent,
            "trace_id": self.trace_id,
            "depth": self.depth,
            "private": self.private,
            "state": self.state,
            "budget_usd": _text(self.budget_usd),
            "created_at": self.created_at.isoformat(),
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(),
            "error": self.error,
            "seconds": self.seconds,
            "tokens": self.tokens,
            "cost_usd": _text(self.cost_usd),
        }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
