"""The port every provider implements.

A provider sends what was cleared for it and never chooses somebody else: fallback belongs to the
router. ``send`` is the data path; ``complete`` and ``stream`` are the same for callers in process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.admission import Gate
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.endpoint import Reply
from agentcore.llm_gateway.models import (
    NOBODY,
    Condition,
    Dialect,
    LLMRequest,
    LLMResponse,
    Owner,
    Priority,
)
from agentcore.llm_gateway.replies import completed, streamed


class BaseLLMProvider(ABC):
    """One upstream; ``destination`` is what policy knows about it."""

    def __init__(self, destination: Destination, clock: Clock) -> None:
        self.destination = destination
        self._clock = clock

    @abstractmethod
    async def send(self, cleared: Cleared) -> Reply:
        """Ask the upstream; a ``StreamReply`` must be read to its end or closed.

        Raises:
            PrivacyViolationError: the call was not cleared for this provider.
            UpstreamError: it failed before its answer began.
        """

    @property
    @abstractmethod
    def dialects(self) -> frozenset[Dialect]:
        """How callers may speak whose calls it takes: itself, or by translation."""

    @abstractmethod
    async def get_available_models(self) -> list[str]:
        """The names this provider serves under, asked of it now where they are not configured."""

    @abstractmethod
    def upstream_model(self, served: str) -> str | None:
        """The provider's own name for a served model; None if it does not serve it."""

    @abstractmethod
    def served_models(self) -> tuple[str, ...] | None:
        """What is known to be served, without asking; None while nothing is known yet."""

    @abstractmethod
    def condition(self, priority: Priority = "medium", owner: Owner = NOBODY) -> Condition:
        """What it can take of this class and caller now, from memory: no call waits for it."""

    @property
    @abstractmethod
    def gate(self) -> Gate:
        """Where its calls are counted, and wait."""

    @abstractmethod
    async def watch(self) -> None:
        """Keep what the other methods know up to date; run by the supervisor."""

    async def complete(self, request: LLMRequest) -> LLMResponse:
        return await completed(self, request, self._clock)

    def stream(self, request: LLMRequest) -> AsyncIterator[str]:
        """The answer's text as it arrives."""
        return streamed(self, request)
