"""Own hardware first, APIs behind it: the decision carried out.

``decide`` chooses; this module tries the candidates in that order until one has begun to answer,
and nobody else. From the first byte on the call belongs to its provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.resilience import CircuitBreaker, CircuitOpen
from agentcore.llm_gateway.accounts import (
    CANCELLED,
    SUCCESS,
    Accounts,
    Outcome,
    Status,
    statistics,
)
from agentcore.llm_gateway.candidates import ProviderState
from agentcore.llm_gateway.clearance import Cleared
from agentcore.llm_gateway.endpoint import StreamReply
from agentcore.llm_gateway.errors import (
    PrivateProviderUnavailable,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
)
from agentcore.llm_gateway.models import ChatCall, LLMRequest, LLMResponse, Reason
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.ranking import CostOptimizer
from agentcore.llm_gateway.replies import read_plain, text_of
from agentcore.llm_gateway.routing import (
    RoutingDecision,
    decide,
)
from agentcore.llm_gateway.wire import PlainReply

OPTIMIZER = CostOptimizer()
COOLING_SECONDS = 1.0
LONGEST_COOLING = 30.0


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    failures: int = 5
    recovery_seconds: float = 10.0


BREAKERS = BreakerPolicy()


@dataclass(slots=True)
class _Target:
    provider: BaseLLMProvider
    breaker: CircuitBreaker
    cool_until: float = 0.0


class Answer(NamedTuple):
    """What a provider began to answer. ``cost`` of a stream is known only on the ledger."""

    id: UUID
    provider: str
    decision: RoutingDecision
    reason: Reason
    reply: PlainReply | RoutedStream
    cost: Decimal | None = None


class RoutedStream:
    """A stream and the call it settles: read it to its end, or ``close`` it."""

    def __init__(
        self, reply: StreamReply, outcome: Outcome, target: _Target, accounts: Accounts
    ) -> None:
        self._reply = reply
        self._outcome = outcome
        self._target = target
        self._accounts = accounts
        self._settled = False

    async def next(self) -> bytes:
        """The next events as bytes; empty when the answer is complete.

        Raises:
            UpstreamError: it failed; the caller has a part of the answer.
        """
        try:
            block = await self._reply.next()
        except AgentCoreError as error:
            self._settle(error.code)
            _judge(self._target.breaker, error)
            raise
        if not block:
            self._settle(SUCCESS)
            self._target.breaker.succeeded()
        return block

    def close(self) -> None:
        if not self._settled:
            self._settle(CANCELLED)
            self._target.breaker.released()
        self._reply.close()

    def _settle(self, status: Status) -> None:
        if not self._settled:
            self._settled = True
            outcome = self._outcome._replace(status=status, usage=self._reply.usage)
            self._accounts.settle(outcome)


class HybridRouter:
    """Routes between self-hosted providers and APIs (named as in the decisions)."""

    def __init__(
        self,
        parallax_provider: BaseLLMProvider | Sequence[BaseLLMProvider],
        api_providers: Mapping[str, BaseLLMProvider],
        cost_optimizer: CostOptimizer = OPTIMIZER,
        *,
        accounts: Accounts,
        clock: Clock,
        ids: Ids,
        breakers: BreakerPolicy = BREAKERS,
    ) -> None:
        own = (
            [parallax_provider]
            if isinstance(parallax_provider, BaseLLMProvider)
            else list(parallax_provider)
        )
        self.cost_optimizer = cost_optimizer
        self.accounts = accounts
        self._clock = clock
        self._ids = ids
        self._targets = {
            provider.destination.name: _Target(
                provider,
                CircuitBreaker(
                    provider.destination.name,
                    failure_threshold=breakers.failures,
                    recovery_seconds=breakers.recovery_seconds,
                    clock=clock,
                ),
            )
            for provider in (*own, *api_providers.values())
        }

    async def route_request(self, request: LLMRequest) -> LLMResponse:
        """Complete in process; raises what :func:`decide` and the last provider tried raise."""
        began = self._clock.monotonic()
        answer = await self.dispatch(request.call())
        if not isinstance(answer.reply, PlainReply):
            answer.reply.close()
            raise UpstreamMalformed(f"{answer.provider} streamed an answer not asked for")
        return read_plain(
            answer.reply,
            request,
            provider=answer.provider,
            latency_ms=(self._clock.monotonic() - began) * 1000,
            cost=answer.cost,
        )

    async def route_stream(self, request: LLMRequest) -> AsyncIterator[str]:
        """The answer's text as it arrives; a failure after its begin is raised."""
        answer = await self.dispatch(request.call(stream=True))
        stream = answer.reply
        if not isinstance(stream, RoutedStream):
            raise UpstreamMalformed(f"{answer.provider} did not stream")
        try:
            while block := await stream.next():
                for text in text_of(block):
                    yield text
        finally:
            stream.close()

    async def get_routing_stats(self) -> Mapping[str, object]:
        return statistics(self.accounts.stats)

    @property
    def providers(self) -> tuple[BaseLLMProvider, ...]:
        return tuple(target.provider for target in self._targets.values())

    def models(self) -> dict[str, tuple[str, ...]]:
        """Served models and who serves them, in order of configuration."""
        serving: dict[str, tuple[str, ...]] = {}
        for name, target in self._targets.items():
            for model in target.provider.served_models() or ():
                serving[model] = (*serving.get(model, ()), name)
        return serving

    def snapshot(self, call: ChatCall) -> list[ProviderState]:
        """What is known now about everybody, as :func:`decide` takes it."""
        now = self._clock.monotonic()
        return [self._state(target, call, now) for target in self._targets.values()]

    async def dispatch(self, call: ChatCall) -> Answer:
        """Have ``call`` answered: returns when somebody has begun to.

        Raises:
            AgentCoreError: nobody may or can; the caller has seen nothing.
        """
        if not self.accounts.prices.loaded:
            await self.accounts.prices.wait()
        began = self._clock.monotonic()
        decision = self._decide(call)
        failure: AgentCoreError | None = None
        lost: Outcome | None = None
        for name in decision.candidates:
            target = self._targets[name]
            outcome = self._outcome(target, call, decision, began)
            try:
                return await self._attempt(target, outcome, decision)
            except CircuitOpen as error:
                failure = failure or error
            except AgentCoreError as error:
                self._failed(target, outcome, error)
                failure, lost = error, outcome
                if not _may_move(error):
                    break
        if lost is not None and failure is not None:
            self.accounts.write_off(lost._replace(status=failure.code))
        raise _final(call, failure)

    def _decide(self, call: ChatCall) -> RoutingDecision:
        try:
            return decide(call, self.snapshot(call), self.cost_optimizer)
        except AgentCoreError as error:
            self.accounts.metrics.refused.labels(error.code).inc()
            raise

    def _outcome(
        self, target: _Target, call: ChatCall, decision: RoutingDecision, began: float
    ) -> Outcome:
        there = target.provider.destination
        upstream = target.provider.upstream_model(call.model) or call.model
        return Outcome(
            id=self._ids.new(),
            call=call,
            destination=there,
            price=self.accounts.prices.price(there.name, upstream),
            reason=self._reason(decision, there.name),
            status=SUCCESS,
            began=began,
        )

    async def _attempt(
        self, target: _Target, outcome: Outcome, decision: RoutingDecision
    ) -> Answer:
        there = outcome.destination
        target.breaker.admit()
        try:
            reply = await target.provider.send(Cleared(outcome.call, there))
        except AgentCoreError as error:
            _judge(target.breaker, error)
            raise
        except BaseException:
            target.breaker.released()
            self.accounts.settle(outcome._replace(status=CANCELLED))
            raise
        if isinstance(reply, StreamReply):
            begun = outcome._replace(first_chunk=self._clock.monotonic())
            stream = RoutedStream(reply, begun, target, self.accounts)
            return Answer(outcome.id, there.name, decision, outcome.reason, stream)
        target.breaker.succeeded()
        cost = self.accounts.settle(outcome._replace(usage=reply.usage))
        return Answer(outcome.id, there.name, decision, outcome.reason, reply, cost)

    def _failed(self, target: _Target, outcome: Outcome, error: AgentCoreError) -> None:
        if isinstance(error, UpstreamRateLimited) and not error.context.get("own_limit"):
            pause = COOLING_SECONDS if error.retry_after is None else error.retry_after
            target.cool_until = self._clock.monotonic() + min(pause, LONGEST_COOLING)
        self.accounts.failed_attempt(outcome._replace(status=error.code))

    def _reason(self, decision: RoutingDecision, name: str) -> Reason:
        """A call that falls over from own hardware to an API could not be carried by the first."""
        if name == decision.provider or decision.reason == "privacy_required":
            return decision.reason
        first = self._targets[decision.provider].provider.destination
        left = first.self_hosted and not self._targets[name].provider.destination.self_hosted
        return "cluster_saturated" if left else decision.reason

    def _state(self, target: _Target, call: ChatCall, now: float) -> ProviderState:
        provider = target.provider
        there = provider.destination
        upstream = provider.upstream_model(call.model)
        condition = provider.condition(call.priority, call.owner)
        cooling = target.cool_until - now
        open_breaker = target.breaker.state == "open"
        why = "failed too often" if open_breaker else condition.why
        return ProviderState(
            name=there.name,
            self_hosted=there.self_hosted,
            private=there.private,
            serves=True if upstream else None if provider.served_models() is None else False,
            available=condition.available and not open_breaker,
            has_capacity=condition.has_capacity and cooling <= 0,
            load=condition.load,
            price=None if upstream is None else self.accounts.prices.price(there.name, upstream),
            why="rate limited" if cooling > 0 else why,
            retry_after=max(cooling, condition.retry_after, COOLING_SECONDS),
            wait=None if cooling > 0 else condition.wait,
            traits=there.traits,
            speaks=call.dialect in provider.dialects,
        )


def _judge(breaker: CircuitBreaker, error: AgentCoreError) -> None:
    """Tell the breaker what the failure says about the provider, if it says anything."""
    if not isinstance(error, UpstreamError):
        breaker.released()
    elif error.faulty:
        breaker.failed()
    elif isinstance(error, UpstreamRateLimited):
        breaker.released()
    else:
        breaker.succeeded()


def _final(call: ChatCall, failure: AgentCoreError | None) -> AgentCoreError:
    """What the caller is told when the candidates are used up."""
    if failure is None:
        raise AssertionError("a decision has at least one candidate")
    limited = isinstance(failure, UpstreamRateLimited)
    if not call.requires_privacy or limited or not _may_move(failure):
        return failure
    refusal = PrivateProviderUnavailable(
        f"{failure.detail}; the request is private and is not sent anywhere else",
        hint="try again later",
    )
    refusal.__cause__ = failure
    return refusal


def _may_move(failure: AgentCoreError) -> bool:
    return isinstance(failure, CircuitOpen) or (
        isinstance(failure, UpstreamError) and failure.fails_over
    )
