"""What a playing agent needs; filled in process by bootstrap, over HTTP by anybody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from agentcore.kit.jsonvalue import JsonObject

Messages = Sequence[JsonObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """One model reply and what it took; ``cost_usd`` is None where the price is unknown."""

    text: str
    tokens: int
    cost_usd: Decimal | None
    provider: str


class Mind(Protocol):
    async def think(self, messages: Messages, *, trace_id: str) -> Thought:
        """Answer a chat; one model call through the gateway."""
        ...


class World(Protocol):
    async def call(self, method: str, params: JsonObject) -> JsonObject:
        """Send one A2A JSON-RPC request and return its result.

        Raises:
            AgentCoreError: the peer answered with an error.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A playbook as prompt text; ``stamp`` says what was rendered and goes into the trace."""

    text: str
    stamp: JsonObject | None


class Playbooks(Protocol):
    async def render(self, agent_id: str, task: str, *, task_id: str = "") -> Rendered:
        """The agent's playbook for ``task``; empty text when it has none.

        ``task_id`` is what the task's trace will name: it decides the arm of an experiment.
        """
        ...
