"""Calls under way at a provider: what it began to answer, and what is learned from how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, Protocol
from uuid import UUID

from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.resilience import CircuitBreaker
from agentcore.llm_gateway.accounts import CANCELLED, SUCCESS, Outcome, Status
from agentcore.llm_gateway.endpoint import StreamReply
from agentcore.llm_gateway.errors import UpstreamError, UpstreamRateLimited
from agentcore.llm_gateway.models import Reason
from agentcore.llm_gateway.pace import PaceMeter
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.routing import RoutingDecision
from agentcore.llm_gateway.wire import PlainReply


@dataclass(slots=True)
class Target:
    """A provider and how it has been doing. Moments are of the monotonic clock."""

    provider: BaseLLMProvider
    breaker: CircuitBreaker
    meter: PaceMeter = field(default_factory=PaceMeter)
    cool_until: float = 0.0

    def judge(self, error: AgentCoreError) -> None:
        """Tell the breaker what a failure says about the provider, if it says anything."""
        if not isinstance(error, UpstreamError):
            self.breaker.released()
        elif error.faulty:
            self.breaker.failed()
        elif isinstance(error, UpstreamRateLimited):
            self.breaker.released()
        else:
            self.breaker.succeeded()


class Streamed(Protocol):
    """Events as they arrive: read to the end, or closed."""

    @property
    def outcome(self) -> Outcome:
        """How the call was entered on the ledger; final when the stream has ended."""
        ...

    async def next(self) -> bytes: ...

    def close(self) -> None: ...


class Answer(NamedTuple):
    """What a provider began to answer. ``cost`` of a stream is known only on the ledger.

    ``limits`` are the headers that tell the caller how much more it may ask.
    """

    outcome: Outcome
    decision: RoutingDecision
    reply: PlainReply | Streamed
    cost: Decimal | None = None
    cached: bool = False
    limits: Sequence[tuple[str, str]] = ()

    @property
    def id(self) -> UUID:
        return self.outcome.id

    @property
    def provider(self) -> str:
        return self.outcome.destination.name

    @property
    def reason(self) -> Reason:
        return self.outcome.reason


class RoutedStream:
    """A stream and the call it settles: read it to its end, or ``close`` it."""

    def __init__(
        self,
        reply: StreamReply,
        outcome: Outcome,
        target: Target,
        settle: Callable[[Outcome], object],
        clock: Clock,
        *,
        counted: bool = False,
    ) -> None:
        """``counted``: somebody wants to know how much was written, even without a usage."""
        self._reply = reply
        self.outcome = outcome
        self._target = target
        self._enter = settle
        self._clock = clock
        self._began = clock.monotonic()
        self._settled = False
        self._counted = counted
        self._written = self._events = 0

    async def next(self) -> bytes:
        """The next events as bytes; empty when the answer is complete.

        Raises:
            UpstreamError: it failed; the caller has a part of the answer.
        """
        try:
            block = await self._reply.next()
        except AgentCoreError as error:
            self._settle(error.code)
            self._target.judge(error)
            raise
        if self._counted:
            self._written += len(block)
            self._events += block.count(b"data:")
        if not block and not self._settled:
            self._settle(SUCCESS)
            self._target.breaker.succeeded()
            usage = self._reply.usage
            if usage is not None:
                seconds = self._clock.monotonic() - self._began
                self._target.meter.wrote(usage.completion_tokens, seconds)
        return block

    def close(self) -> None:
        if not self._settled:
            self._settle(CANCELLED)
            self._target.breaker.released()
        self._reply.close()

    def _settle(self, status: Status) -> None:
        if not self._settled:
            self._settled = True
            self.outcome = self.outcome._replace(
                status=status,
                usage=self._reply.usage,
                written=self._written,
                events=self._events,
            )
            self._enter(self.outcome)


def better(
    known: Answer | AgentCoreError | None, news: Answer | AgentCoreError
) -> Answer | AgentCoreError:
    """Of two that were asked at once: the answer; a second one is of no use to anybody."""
    if not isinstance(known, Answer):
        return news
    if isinstance(news, Answer):
        close_answer(news)
    return known


def let_go(task: asyncio.Task[Answer | AgentCoreError]) -> None:
    """What had begun in the moment in which it was cancelled still holds its connection."""
    if not task.cancelled() and task.exception() is None:
        result = task.result()
        if isinstance(result, Answer):
            close_answer(result)


def close_answer(answer: Answer) -> None:
    if not isinstance(answer.reply, PlainReply):
        answer.reply.close()
