"""The model calls of evolution: measured, guarded by one breaker, and paid before they are made.

All calls of one evolution share one booking of the monthly budget, at their upper price.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

from agentcore.ace.journal import Entry, Provenance
from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.ace.ports import Completion, LanguageModel, PromptMessage
from agentcore.ace.spending import MonthlyBudget
from agentcore.kit.clock import Clock
from agentcore.kit.errors import RPC_PRIVACY, AgentCoreError, DeadlineExceeded
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.resilience import CircuitBreaker

CALL_SECONDS = 60.0
MOST_CALLS = 2
LONGEST_ANSWER_TOKENS = 1024
# An output token costs about four input ones (gpt-4o-mini: 0.60 and 0.15 USD per million).
OUTPUT_PRICE = 4


def blames_the_model(error: Exception) -> bool:
    """False for what is about our own request, such as who may see it: that says nothing of it."""
    if not isinstance(error, AgentCoreError):
        return True
    return error.http_status >= 500 and error.rpc_code != RPC_PRIVACY


class PaidModel:
    def __init__(
        self,
        config: ACEConfig,
        llm: LanguageModel,
        budget: MonthlyBudget,
        *,
        clock: Clock,
        metrics: ACEMetrics,
    ) -> None:
        self._config = config
        self._llm = llm
        self._budget = budget
        self._metrics = metrics
        self.breaker = CircuitBreaker(
            "the model for context evolution",
            failure_threshold=config.ace_cb_failure_threshold,
            recovery_seconds=config.ace_cb_recovery_timeout,
            clock=clock,
        )
        self._underestimate = Decimal(1)
        self.answer_tokens = min(LONGEST_ANSWER_TOKENS, config.ace_max_tokens_per_request // 4)
        self.prompt_tokens = config.ace_max_tokens_per_request - self.answer_tokens
        metrics.watch(self.breaker)
        metrics.monthly_budget.set(config.ace_monthly_budget_usd)

    async def booked(
        self, playbook: ContextPlaybook, provenance: Provenance, *, private: bool
    ) -> Dialogue:
        """The right to make at most ``MOST_CALLS`` calls about ``playbook``.

        Raises:
            EvolutionBudgetExhausted: they might exceed the month's budget.
            EvolutionRateLimited: too many calls were booked just now.
            CircuitOpen: the model failed repeatedly.
        """
        if self.breaker.state == "open":
            self.breaker.admit()
        upper = provenance.model_copy(update={"cost_usd": MOST_CALLS * self._bound})
        booking = await self._budget.reserve(playbook, upper, calls=MOST_CALLS)
        return Dialogue(self, booking, playbook.agent_id, private=private)

    async def called(self, prompt: str, *, trace_id: str, private: bool) -> Completion:
        self._metrics.llm_requests.inc()
        try:
            async with self.breaker.guard(blames=blames_the_model):
                return await self._complete(prompt, trace_id, private=private)
        except AgentCoreError:
            self._metrics.llm_errors.inc()
            raise

    async def settled(
        self, booking: Entry, agent_id: str, cost: Decimal, outcome: JsonObject
    ) -> None:
        await self._budget.settle(booking, agent_id, cost, outcome=outcome)

    async def _complete(self, prompt: str, trace_id: str, *, private: bool) -> Completion:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._llm.complete(
                    [PromptMessage("user", prompt)],
                    model=self._config.ace_llm_model,
                    max_tokens=self.answer_tokens,
                    trace_id=trace_id,
                    private=private,
                )
        except TimeoutError as exc:
            raise DeadlineExceeded(
                f"the model gave no answer within {CALL_SECONDS:.0f} seconds"
            ) from exc

    def cost_of(self, completion: Completion) -> Decimal:
        """What the call cost; a bound that it exceeded raises the bounds of later calls."""
        cost = completion.cost_usd
        if cost is None:
            cost = self._price(completion.prompt_tokens, completion.completion_tokens)
        self._metrics.llm_cost.inc(float(cost))
        if cost > self._bound > 0:
            self._underestimate *= cost / self._bound
        return cost

    @property
    def _bound(self) -> Decimal:
        return self._price(self.prompt_tokens, self.answer_tokens) * self._underestimate

    def _price(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        per_million = Decimal(str(self._config.ace_cost_per_1m_tokens))
        return per_million * (prompt_tokens + OUTPUT_PRICE * completion_tokens) / 1_000_000


class Dialogue:
    """The calls of one evolution. Close it when they are over; one that failed closes itself.

    One that is cancelled stays booked at its upper price: it may have been billed.
    """

    def __init__(self, model: PaidModel, booking: Entry, agent_id: str, *, private: bool) -> None:
        self._model = model
        self._booking = booking
        self._agent_id = agent_id
        self._private = private
        self.cost = Decimal(0)

    async def ask(self, prompt: str) -> Completion:
        trace_id = self._booking.delta.delta_id
        try:
            answer = await self._model.called(prompt, trace_id=trace_id, private=self._private)
        except DeadlineExceeded:
            # It may have been billed, so its upper price stays booked.
            raise
        except AgentCoreError as error:
            await self.close({"error": error.code})
            raise
        self.cost += self._model.cost_of(answer)
        return answer

    async def close(self, outcome: JsonObject) -> None:
        """Replace the booking by what the calls did cost."""
        await self._model.settled(self._booking, self._agent_id, self.cost, outcome)
