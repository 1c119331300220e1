"""Own hardware first, APIs behind it: the decision carried out.

``decide`` chooses; this module tries the candidates in that order until one has begun to answer,
and nobody else. From the first byte on the call belongs to its provider, unless its caller wants it
resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.resilience import CircuitBreaker, CircuitOpen
from agentcore.llm_gateway.accounts import (
    CANCELLED,
    SUCCESS,
    Accounts,
    Outcome,
    RoutingStats,
    statistics,
)
from agentcore.llm_gateway.allowance import UNLIMITED, Grant, Guard, Hold
from agentcore.llm_gateway.budgets.errors import BudgetRefusal
from agentcore.llm_gateway.candidates import ProviderState
from agentcore.llm_gateway.clearance import Cleared, Destination
from agentcore.llm_gateway.decisions import DecisionLog, explained
from agentcore.llm_gateway.eligibility import why_not
from agentcore.llm_gateway.endpoint import StreamReply
from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    PrivateProviderUnavailable,
    UpstreamError,
    UpstreamRateLimited,
)
from agentcore.llm_gateway.hedging import Hedges
from agentcore.llm_gateway.models import ChatCall, LLMRequest, LLMResponse, Reason
from agentcore.llm_gateway.privacy import NO_RULES, PrivacyRules
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.providers.resuming import resumable
from agentcore.llm_gateway.providers.routed import (
    Answer,
    RoutedStream,
    Target,
    better,
    close_answer,
    let_go,
)
from agentcore.llm_gateway.ranking import CostOptimizer
from agentcore.llm_gateway.replies import read_stream, read_whole
from agentcore.llm_gateway.rollout import Rollout
from agentcore.llm_gateway.routing import RoutingDecision, decide
from agentcore.llm_gateway.shadowing import Shadows
from agentcore.llm_gateway.traffic import STRAIGHT_AHEAD, TrafficConfig

OPTIMIZER = CostOptimizer()
COOLING_SECONDS = 1.0
LONGEST_COOLING = 30.0


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    failures: int = 5
    recovery_seconds: float = 10.0


BREAKERS = BreakerPolicy()


@dataclass(slots=True)
class Trip:
    """One call on its way through the candidates; ``lost`` is the attempt that failed last.

    ``targets`` are those of the decision: the configuration may change meanwhile.
    """

    call: ChatCall
    decision: RoutingDecision
    targets: Mapping[str, Target]
    began: float
    attempts: list[tuple[str, str]]
    grant: Grant = UNLIMITED
    lost: Outcome | None = None


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
        traffic: TrafficConfig = STRAIGHT_AHEAD,
    ) -> None:
        own = (
            [parallax_provider]
            if isinstance(parallax_provider, BaseLLMProvider)
            else list(parallax_provider)
        )
        self.accounts = accounts
        self.decisions = DecisionLog(clock)
        self._clock = clock
        self._ids = ids
        self._guard: Guard = UNLIMITED
        self.targets: Mapping[str, Target] = {}
        named = {each.destination.name: each for each in (*own, *api_providers.values())}
        self.adopt(
            named, optimizer=cost_optimizer, breakers=breakers, traffic=traffic, privacy=NO_RULES
        )

    def adopt(
        self,
        providers: Mapping[str, BaseLLMProvider],
        *,
        optimizer: CostOptimizer,
        breakers: BreakerPolicy,
        traffic: TrafficConfig,
        privacy: PrivacyRules,
    ) -> None:
        """Route new calls so; a provider that was known keeps what was learned of it."""
        self.cost_optimizer = optimizer
        self._privacy = privacy
        self.rollout = Rollout(traffic)
        self.shadows = Shadows(traffic, self.accounts.metrics.shadows_dropped.inc)
        self._hedges = Hedges(traffic.hedge)
        self._continuing = traffic.continuing
        # Own hardware comes first, whatever the order of the configuration.
        ordered = sorted(providers.items(), key=lambda named: not named[1].destination.self_hosted)
        self.targets = {
            name: known
            if (known := self.targets.get(name)) is not None and known.provider is provider
            else self._target(name, provider, breakers)
            for name, provider in ordered
        }
        breakers_of = {name: target.breaker for name, target in self.targets.items()}
        for breaker in breakers_of.values():
            breaker.tune(
                failure_threshold=breakers.failures, recovery_seconds=breakers.recovery_seconds
            )
        self.accounts.metrics.breakers = breakers_of

    def _target(self, name: str, provider: BaseLLMProvider, breakers: BreakerPolicy) -> Target:
        breaker = CircuitBreaker(
            name,
            failure_threshold=breakers.failures,
            recovery_seconds=breakers.recovery_seconds,
            clock=self._clock,
        )
        return Target(provider, breaker)

    def guarded_by(self, guard: Guard) -> None:
        """Have calls let in by ``guard`` from now on."""
        self._guard = guard

    async def route_request(self, request: LLMRequest) -> LLMResponse:
        """Complete in process; raises what :func:`decide` and the last provider tried raise."""
        began = self._clock.monotonic()
        answer = await self.dispatch(request.call())
        return read_whole(
            answer.reply,
            request,
            provider=answer.provider,
            latency_ms=(self._clock.monotonic() - began) * 1000,
            cost=answer.cost,
        )

    async def route_stream(self, request: LLMRequest) -> AsyncIterator[str]:
        """The answer's text as it arrives; a failure after its begin is raised."""
        answer = await self.dispatch(request.call(stream=True))
        async with aclosing(read_stream(answer.reply, provider=answer.provider)) as texts:
            async for text in texts:
                yield text

    async def get_routing_stats(self) -> Mapping[str, object]:
        return statistics(self.accounts.stats)

    @property
    def stats(self) -> RoutingStats:
        return self.accounts.stats

    @property
    def providers(self) -> dict[str, BaseLLMProvider]:
        return {name: target.provider for name, target in self.targets.items()}

    def models(self) -> dict[str, tuple[str, ...]]:
        """Served models and who serves them, in order of configuration."""
        serving: dict[str, tuple[str, ...]] = {}
        for name, target in self.targets.items():
            for model in target.provider.served_models() or ():
                serving[model] = (*serving.get(model, ()), name)
        return serving

    def snapshot(self, call: ChatCall) -> list[ProviderState]:
        """What is known now about everybody, as :func:`decide` takes it."""
        now = self._clock.monotonic()
        return [self._state(target, call, now) for target in self.targets.values()]

    def marked(self, call: ChatCall) -> ChatCall:
        """``call``, private if the configuration says so."""
        return self._privacy.marked(call)

    def explain(self, call: ChatCall) -> JsonObject:
        """What :meth:`dispatch` would do now; nothing is sent or counted."""
        call = self.marked(call)
        states = self.snapshot(call)
        steering = self.rollout.steer(call)
        return explained(call, decide(call, states, self.cost_optimizer, steering), states)

    async def dispatch(self, call: ChatCall) -> Answer:
        """Have ``call`` answered: returns when somebody has begun to.

        Raises:
            AgentCoreError: nobody may or can; the caller has seen nothing.
        """
        if not self.accounts.prices.loaded:
            await self.accounts.prices.wait()
        call = self.marked(call)
        try:
            grant = await self._guard.admit(call)
        except AgentCoreError as error:
            self.accounts.metrics.refused.labels(error.code).inc()
            raise
        try:
            answer = await self._answered(call, grant)
        except BaseException:
            grant.over()
            raise
        if call.resume:
            answer = resumable(answer, call, grant, self._continuing, self._answered)
        return answer if grant is UNLIMITED else answer._replace(limits=grant.headers)

    async def _answered(self, call: ChatCall, grant: Grant) -> Answer:
        trip = self._decide(call, grant)
        self._hedges.earn(call)
        left = list(trip.decision.candidates)
        failure: AgentCoreError | None = None
        while left:
            names = [left.pop(0)]
            late = trip.targets[names[0]].meter.late(stream=call.stream)
            patience = self._hedges.patience(call, late) if left else None
            if patience is None:
                result = await self._tried(trip, names[0])
            else:
                result = await self._hedged(trip, names, left, patience)
            if isinstance(result, Answer):
                self.shadows.offer(call, result.provider)
                return result
            failure = _told(failure, result)
            # What one API cannot express another may.
            if not (_may_move(result) or isinstance(result, InvalidChatRequest)):
                break
        if trip.lost is not None and failure is not None:
            self.accounts.write_off(trip.lost._replace(status=failure.code))
        elif isinstance(failure, BudgetRefusal):
            self.accounts.metrics.refused.labels(failure.code).inc()
        raise _final(call, failure)

    def may_use(self, call: ChatCall, name: str) -> bool:
        """Whether ``call`` may have an answer of ``name``, free or not at this moment."""
        target = self.targets.get(name)
        if target is None:
            return False
        state = self._state(target, call, self._clock.monotonic())
        return why_not(call, state._replace(available=True)) is None

    async def shadow(self, call: ChatCall, name: str) -> None:
        """Ask ``name``, and nobody else, for an answer that nobody gets."""
        target = self.targets.get(name)
        if target is None:
            return
        state = self._state(target, call, self._clock.monotonic())
        if why_not(call, state) is not None or not state.has_capacity:
            return
        decision = RoutingDecision(name, "shadow", (name,), {})
        trip = Trip(call, decision, self.targets, self._clock.monotonic(), [])
        result = await self._tried(trip, name)
        if isinstance(result, Answer):
            close_answer(result)

    def _decide(self, call: ChatCall, grant: Grant) -> Trip:
        states = self.snapshot(call)
        steering = self.rollout.steer(call)
        try:
            decision = decide(call, states, self.cost_optimizer, steering)
        except AgentCoreError as error:
            self.accounts.metrics.refused.labels(error.code).inc()
            raise
        attempts = self.decisions.add(call, decision, states)
        return Trip(call, decision, self.targets, self._clock.monotonic(), attempts, grant)

    async def _hedged(
        self, trip: Trip, names: list[str], left: list[str], patience: float
    ) -> Answer | AgentCoreError:
        """Ask the first, and the next one too when the first is late; the loser is cancelled."""
        result: Answer | AgentCoreError | None = None
        asked: set[asyncio.Task[Answer | AgentCoreError]] = set()
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    asked.add(group.create_task(self._tried(trip, names[0])))
                    done, _ = await asyncio.wait(asked, timeout=patience)
                    if not done and self._hedges.spend():
                        asked.add(group.create_task(self._tried(trip, left.pop(0))))
                    while asked and not isinstance(result, Answer):
                        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                        asked -= done
                        for each in done:
                            result = better(result, each.result())
                finally:
                    # Also where the caller has left: nobody else knows what they began.
                    for loser in asked:
                        loser.add_done_callback(let_go)
                        loser.cancel()
        except BaseException:
            # The caller left while the loser was let go.
            if isinstance(result, Answer):
                close_answer(result)
            raise
        if result is None:
            raise AssertionError("somebody was asked")
        return result

    async def _tried(self, trip: Trip, name: str) -> Answer | AgentCoreError:
        """One attempt; its failure is a result, for somebody else may answer."""
        target = trip.targets[name]
        outcome = self._outcome(target, trip)
        known = self.targets.get(name, target)
        if trip.call.requires_privacy and not known.provider.destination.private:
            # It was a candidate by the configuration before.
            return PrivateProviderUnavailable(f"{name!r} is private no more")
        try:
            hold = await trip.grant.hold(outcome.price)
        except AgentCoreError as error:
            trip.attempts.append((name, error.code))
            return error
        try:
            answer = await self._attempt(target, outcome, trip.decision, hold)
        except CircuitOpen as error:
            hold.release(outcome._replace(status=error.code))
            trip.attempts.append((name, error.code))
            return error
        except AgentCoreError as error:
            hold.release(outcome._replace(status=error.code))
            trip.attempts.append((name, error.code))
            self._failed(target, outcome, error)
            trip.lost = outcome
            return error
        trip.attempts.append((name, SUCCESS))
        return answer

    def _outcome(self, target: Target, trip: Trip) -> Outcome:
        there = target.provider.destination
        call = trip.call
        upstream = target.provider.upstream_model(call.model) or call.model
        return Outcome(
            self._ids.new(),
            call,
            there,
            self.accounts.prices.price(there.name, upstream),
            _reason(trip, there),
            SUCCESS,
            trip.began,
            attempts=len(trip.attempts) + 1,
        )

    async def _attempt(
        self, target: Target, outcome: Outcome, decision: RoutingDecision, hold: Hold
    ) -> Answer:
        there = outcome.destination
        target.breaker.admit()
        asked = self._clock.monotonic()
        try:
            reply = await target.provider.send(Cleared(outcome.call, there))
        except AgentCoreError as error:
            target.judge(error)
            raise
        except BaseException:
            target.breaker.released()
            self._settle(hold, outcome._replace(status=CANCELLED))
            raise
        now = self._clock.monotonic()
        if isinstance(reply, StreamReply):
            target.meter.began(now - asked)
            begun = outcome._replace(first_chunk=now)
            stream = RoutedStream(
                reply,
                begun,
                target,
                partial(self._settle, hold),
                self._clock,
                counted=hold is not UNLIMITED,
            )
            return Answer(begun, decision, stream)
        target.meter.answered(now - asked)
        target.breaker.succeeded()
        told = outcome.replied(reply.usage, len(reply.body))
        return Answer(told, decision, reply, self._settle(hold, told))

    def _settle(self, hold: Hold, outcome: Outcome) -> Decimal | None:
        if outcome.status != CANCELLED:
            self._tell(outcome, answered=outcome.status == SUCCESS)
        cost = self.accounts.settle(outcome)
        hold.settle(outcome, cost)
        return cost

    def _failed(self, target: Target, outcome: Outcome, error: AgentCoreError) -> None:
        if isinstance(error, UpstreamRateLimited) and not error.context.get("own_limit"):
            pause = COOLING_SECONDS if error.retry_after is None else error.retry_after
            target.cool_until = self._clock.monotonic() + min(pause, LONGEST_COOLING)
        if isinstance(error, UpstreamError) and error.faulty:
            self._tell(outcome, answered=False)
        self.accounts.failed_attempt(outcome._replace(status=error.code))

    def _tell(self, outcome: Outcome, *, answered: bool) -> None:
        # A copy is nobody's call: it would judge a canary by other traffic than its own.
        if outcome.reason != "shadow":
            self.rollout.told(outcome.call, outcome.destination.name, answered=answered)

    def _state(self, target: Target, call: ChatCall, now: float) -> ProviderState:
        provider = target.provider
        there = provider.destination
        upstream = provider.upstream_model(call.model)
        condition = provider.condition(call.priority, call.owner)
        cooling = target.cool_until - now
        open_breaker = target.breaker.state == "open"
        why = "failed too often" if open_breaker else condition.why
        # By position, in the order of the fields: names would take three times as long.
        return ProviderState(
            there.name,
            there.self_hosted,
            there.private,
            True if upstream else None if provider.served_models() is None else False,
            condition.available and not open_breaker,
            condition.has_capacity and cooling <= 0,
            condition.load,
            None if upstream is None else self.accounts.prices.price(there.name, upstream),
            "rate limited" if cooling > 0 else why,
            max(cooling, condition.retry_after, COOLING_SECONDS),
            None if cooling > 0 else condition.wait,
            there.traits,
            target.meter.pace,
            call.dialect in provider.dialects,
            condition.outstanding,
        )


def _reason(trip: Trip, there: Destination) -> Reason:
    """A call that falls over from own hardware to an API could not be carried by the first."""
    decision = trip.decision
    if there.name == decision.provider or decision.reason == "privacy_required":
        return decision.reason
    if decision.reason == "canary":
        return "default"
    first = trip.targets[decision.provider].provider.destination
    left = first.self_hosted and not there.self_hosted
    return "cluster_saturated" if left else decision.reason


def _final(call: ChatCall, failure: AgentCoreError | None) -> AgentCoreError:
    """What the caller is told when the candidates are used up."""
    if failure is None:
        raise AssertionError("a decision has at least one candidate")
    limited = isinstance(failure, UpstreamRateLimited | BudgetRefusal)
    if not call.requires_privacy or limited or not _may_move(failure):
        return failure
    refusal = PrivateProviderUnavailable(
        f"{failure.detail}; the request is private and is not sent anywhere else",
        hint="try again later",
    )
    refusal.__cause__ = failure
    return refusal


def _told(known: AgentCoreError | None, news: AgentCoreError) -> AgentCoreError:
    """The failure to tell of two: the latest of somebody who could have answered."""
    if known is None or isinstance(known, InvalidChatRequest):
        return known if known and isinstance(news, InvalidChatRequest) else news
    return known if isinstance(news, CircuitOpen | InvalidChatRequest) else news


def _may_move(failure: AgentCoreError) -> bool:
    # What is too dear at one provider another may answer for less, or for nothing.
    elsewhere = CircuitOpen | BudgetRefusal | PrivateProviderUnavailable
    return isinstance(failure, elsewhere) or (
        isinstance(failure, UpstreamError) and failure.fails_over
    )
