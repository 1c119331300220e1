"""Asks a language model what a playbook should learn from recent executions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import structlog
from pydantic import JsonValue, ValidationError

from agentcore.ace.grounding import grounded
from agentcore.ace.journal import Entry, Provenance
from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig, ContextDelta, ContextPlaybook, ExecutionTrace
from agentcore.ace.ports import Completion, LanguageModel, PromptMessage
from agentcore.ace.privacy import is_private
from agentcore.ace.prompt import DELTA_GENERATION_PROMPT, ComposedPrompt, compose
from agentcore.ace.salvage import deltas_in
from agentcore.ace.screening import scrubbed
from agentcore.ace.spending import MonthlyBudget
from agentcore.kit.clock import Clock
from agentcore.kit.errors import (
    AgentCoreError,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    TooManyRequests,
)
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.resilience import CircuitBreaker

__all__ = ["DELTA_GENERATION_PROMPT", "DeltaGenerator", "Generation"]

CALL_SECONDS = 60.0
LONGEST_ANSWER_TOKENS = 1024
LONGEST_REASONING = 2000
# An output token costs about four input ones (gpt-4o-mini: 0.60 and 0.15 USD per million).
OUTPUT_PRICE = 4
# Answers about our own request, which say nothing about the health of the model.
NO_FAULT_OF_THE_MODEL = (InvalidInput, NotFound, TooManyRequests)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The proposals of one call, unjudged; ``readable`` is false where the answer held none."""

    deltas: tuple[ContextDelta, ...]
    provenance: Provenance
    readable: bool


class DeltaGenerator:
    def __init__(
        self,
        config: ACEConfig,
        llm: LanguageModel,
        budget: MonthlyBudget,
        *,
        clock: Clock,
        ids: Ids,
        metrics: ACEMetrics,
    ) -> None:
        self._config = config
        self._llm = llm
        self._budget = budget
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._breaker = CircuitBreaker(
            "the model for context evolution",
            failure_threshold=config.ace_cb_failure_threshold,
            recovery_seconds=config.ace_cb_recovery_timeout,
            clock=clock,
        )
        self._underestimate = Decimal(1)
        metrics.watch(self._breaker)

    @property
    def breaker(self) -> CircuitBreaker:
        return self._breaker

    async def generate_delta(
        self, playbook: ContextPlaybook, traces: Sequence[ExecutionTrace]
    ) -> ContextDelta | None:
        """The most confident proposal; None when the model has none."""
        generation = await self.generate(playbook, traces)
        return max(generation.deltas, key=lambda delta: delta.confidence, default=None)

    async def generate(
        self, playbook: ContextPlaybook, traces: Sequence[ExecutionTrace]
    ) -> Generation:
        """One model call about ``traces``, paid from the month's budget.

        Raises:
            EvolutionBudgetExhausted: the call might exceed the budget; it was not made.
            CircuitOpen: the model failed repeatedly; it was not called.
            AgentCoreError: the model failed.
        """
        prompt = self._build_prompt(playbook, traces)
        provenance = Provenance(
            model=self._config.ace_llm_model,
            prompt_hash=prompt.hash,
            trace_ids=tuple(one.trace_id for one in prompt.digests),
            cost_usd=self._bound(prompt.tokens),
        )
        if self._breaker.state == "open":
            self._breaker.admit()
        booking = await self._budget.reserve(playbook, provenance)
        private = is_private(playbook, traces)
        completion = await self._call(prompt, booking, playbook.agent_id, private=private)
        cost = self._cost(completion, provenance.cost_usd)
        items = self._parse_llm_response(completion.text)
        outcome: JsonObject = {
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
            "deltas": None if items is None else len(items),
        }
        await self._budget.settle(booking, playbook.agent_id, cost, outcome=outcome)
        if items is None:
            self._metrics.llm_errors.inc()
            log.warning("the model's answer holds no deltas", model=provenance.model)
        deltas = self._deltas(items or [], playbook, prompt)
        self._metrics.deltas_generated.inc(len(deltas))
        return Generation(
            deltas=deltas,
            provenance=provenance.model_copy(update={"cost_usd": cost}),
            readable=items is not None,
        )

    def _build_prompt(
        self, playbook: ContextPlaybook, traces: Sequence[ExecutionTrace]
    ) -> ComposedPrompt:
        return compose(
            playbook,
            traces,
            token_budget=self._config.ace_max_tokens_per_request - self._answer_tokens,
            max_deltas=self._config.ace_max_deltas_per_evolution,
        )

    def _parse_llm_response(self, response: str) -> list[JsonObject] | None:
        """The proposals that were complete; None where the answer is none."""
        items = deltas_in(response)
        return None if items is None else items[: self._config.ace_max_deltas_per_evolution]

    def _track_token_usage(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """Count the tokens; returns what they cost by the configured price."""
        self._metrics.llm_tokens.labels(type="prompt").inc(prompt_tokens)
        self._metrics.llm_tokens.labels(type="completion").inc(completion_tokens)
        return self._price(prompt_tokens, completion_tokens)

    async def _call(
        self, prompt: ComposedPrompt, booking: Entry, agent_id: str, *, private: bool
    ) -> Completion:
        self._metrics.llm_requests.inc()
        try:
            async with self._breaker.guard(ignoring=NO_FAULT_OF_THE_MODEL):
                return await self._complete(prompt, booking.delta.delta_id, private=private)
        except AgentCoreError as error:
            self._metrics.llm_errors.inc()
            if not isinstance(error, DeadlineExceeded):
                outcome: JsonObject = {"error": error.code}
                await self._budget.settle(booking, agent_id, Decimal(0), outcome=outcome)
            raise

    async def _complete(
        self, prompt: ComposedPrompt, trace_id: str, *, private: bool
    ) -> Completion:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._llm.complete(
                    [PromptMessage("user", prompt.text)],
                    model=self._config.ace_llm_model,
                    max_tokens=self._answer_tokens,
                    trace_id=trace_id,
                    private=private,
                )
        except TimeoutError as exc:
            raise DeadlineExceeded(
                f"the model gave no answer within {CALL_SECONDS:.0f} seconds"
            ) from exc

    def _deltas(
        self, items: Sequence[JsonObject], playbook: ContextPlaybook, prompt: ComposedPrompt
    ) -> tuple[ContextDelta, ...]:
        made: list[ContextDelta] = []
        for item in items:
            try:
                delta = ContextDelta(
                    delta_id=str(self._ids.new()),
                    playbook_id=playbook.playbook_id,
                    changes=grounded(item, prompt.digests),
                    confidence=_confidence(item.get("confidence")),
                    reasoning=_reasoning(item.get("reasoning")),
                    generated_at=self._clock.now(),
                )
            except ValidationError as exc:
                log.warning("a proposed delta cannot be stored", errors=exc.error_count())
            else:
                made.append(delta)
        return tuple(made)

    def _cost(self, completion: Completion, bound: Decimal) -> Decimal:
        """What the call cost; a bound that it exceeded raises the bounds of later calls."""
        priced = self._track_token_usage(completion.prompt_tokens, completion.completion_tokens)
        cost = priced if completion.cost_usd is None else completion.cost_usd
        self._metrics.llm_cost.inc(float(cost))
        if cost > bound > 0:
            self._underestimate *= cost / bound
        return cost

    def _bound(self, prompt_tokens: int) -> Decimal:
        return self._price(prompt_tokens, self._answer_tokens) * self._underestimate

    def _price(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        per_million = Decimal(str(self._config.ace_cost_per_1m_tokens))
        return per_million * (prompt_tokens + OUTPUT_PRICE * completion_tokens) / 1_000_000

    @property
    def _answer_tokens(self) -> int:
        return min(LONGEST_ANSWER_TOKENS, self._config.ace_max_tokens_per_request // 4)


def _confidence(given: JsonValue) -> float:
    """A proposal that does not say how sure it is, or not in [0, 1], is not sure at all."""
    if isinstance(given, str):
        try:
            given = float(given)
        except ValueError:
            return 0.0
    if isinstance(given, bool) or not isinstance(given, int | float):
        return 0.0
    return float(given) if 0.0 <= given <= 1.0 else 0.0


def _reasoning(given: JsonValue) -> str:
    text = scrubbed(given).replace("\x00", "") if isinstance(given, str) else ""
    return text[:LONGEST_REASONING] or "none given"
