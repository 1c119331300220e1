"""What the context layer needs from others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from agentcore.ace.models import ContextPlaybook
from agentcore.kit.security import Principal


class AgentOwner(Protocol):
    @property
    def tenant(self) -> str: ...

    @property
    def subject(self) -> str: ...


class AgentDirectory(Protocol):
    async def owner(self, agent_id: str) -> AgentOwner | None:
        """Who owns the agent; None when there is none."""
        ...

    async def ensure(self, agent_id: str, principal: Principal) -> None:
        """Register the agent for ``principal`` unless it exists, whoever owns it then."""
        ...


@dataclass(frozen=True, slots=True)
class PromptMessage:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """``cost_usd`` is what the call was billed, or None where nobody knows."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal | None = None


class LanguageModel(Protocol):
    async def complete(
        self,
        messages: Sequence[PromptMessage],
        *,
        model: str,
        max_tokens: int,
        trace_id: str,
        private: bool = False,
    ) -> Completion:
        """One answer of at most ``max_tokens`` tokens; what fails raises an ``AgentCoreError``.

        Messages that are ``private`` reach private providers only.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a task's model calls came to; ``cost_usd`` is None where nobody knows."""

    tokens: int
    cost_usd: Decimal | None


class TaskSpending(Protocol):
    async def of(self, task_id: str, *, tenant: str) -> Spent | None:
        """What is known of the calls made under the task's id; None where there were none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What both made of one seed, in [0, 1]."""

    champion: float
    challenger: float


@dataclass(slots=True)
class Bill:
    """What playing has come to so far, to be read however it ends.

    ``unpriced_tokens`` are of calls whose cost nobody knows: of one that was cut off, and may be
    billed nevertheless, the most that it can take. The calls are known by ``trace_id``.
    """

    trace_id: str = ""
    cost_usd: Decimal = Decimal(0)
    unpriced_tokens: int = 0


class PairedTrials(Protocol):
    async def play(
        self, champion: ContextPlaybook, challenger: ContextPlaybook, seeds: Sequence[int]
    ) -> Sequence[Pair]:
        """Let both play each seed under the same conditions; in the order of ``seeds``.

        What is no fault of the playbooks, an environment that is away for instance, is no outcome.

        Raises:
            AgentCoreError: not all of them could be played.
        """
        ...


class TrialGrounds(Protocol):
    """Where playbooks are tried."""

    async def check(self, environment: str) -> None:
        """Raise an ``AgentCoreError`` where there is no environment of this name."""
        ...

    async def trials(
        self, agent_id: str, environment: str, bill: Bill, *, private: bool
    ) -> PairedTrials:
        """For the tenant of ``agent_id``; ``private`` playbooks reach private providers only.

        ``bill`` is where each call is entered before it is made.
        """
        ...

    async def spent(self, agent_id: str, trace_id: str) -> Bill:
        """What is known of the calls that were made under ``trace_id``, whatever became of them."""
        ...
