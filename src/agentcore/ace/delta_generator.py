"""Asks a language model what a playbook should learn from recent executions.

Two calls: a reflector says what went wrong and shows where, a curator turns that into operations.
Where there is nothing to learn, or the first answer holds proposals already, there is no second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from pydantic import JsonValue, ValidationError

from agentcore.ace.counters import rendered_in
from agentcore.ace.grounding import grounded
from agentcore.ace.journal import Provenance
from agentcore.ace.metrics import ACEMetrics
from agentcore.ace.models import ACEConfig, ContextDelta, ContextPlaybook, ExecutionTrace
from agentcore.ace.paid_model import Dialogue, PaidModel
from agentcore.ace.privacy import is_private
from agentcore.ace.prompt import (
    DELTA_GENERATION_PROMPT,
    ComposedPrompt,
    compose,
    compose_reflection,
)
from agentcore.ace.reflection import Reflection, neutral_in, reflections_in
from agentcore.ace.salvage import deltas_in
from agentcore.ace.screening import scrubbed
from agentcore.kit.clock import Clock
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.resilience import CircuitBreaker

__all__ = ["DELTA_GENERATION_PROMPT", "DeltaGenerator", "Generation"]

LONGEST_REASONING = 2000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The proposals of one evolution, unjudged; ``readable`` is false where the answer held none.

    ``neutral`` are bullets that made no difference, as the model says.
    """

    deltas: tuple[ContextDelta, ...]
    provenance: Provenance
    readable: bool
    neutral: frozenset[str] = frozenset()


class DeltaGenerator:
    def __init__(
        self,
        config: ACEConfig,
        model: PaidModel,
        *,
        clock: Clock,
        ids: Ids,
        metrics: ACEMetrics,
    ) -> None:
        self._config = config
        self._model = model
        self._clock = clock
        self._ids = ids
        self._metrics = metrics

    @property
    def breaker(self) -> CircuitBreaker:
        return self._model.breaker

    async def generate_delta(
        self, playbook: ContextPlaybook, traces: Sequence[ExecutionTrace]
    ) -> ContextDelta | None:
        """The most confident proposal; None when the model has none."""
        generation = await self.generate(playbook, traces)
        return max(generation.deltas, key=lambda delta: delta.confidence, default=None)

    async def generate(
        self, playbook: ContextPlaybook, traces: Sequence[ExecutionTrace]
    ) -> Generation:
        """What the model proposes about ``traces``, paid from the month's budget.

        Raises:
            EvolutionBudgetExhausted: the calls might exceed the budget; none was made.
            EvolutionRateLimited: too many calls were made just now; none was made.
            CircuitOpen: the model failed repeatedly; it was not called.
            AgentCoreError: the model failed.
        """
        asking = compose_reflection(playbook, traces, token_budget=self._model.prompt_tokens)
        provenance = Provenance(
            model=self._config.ace_llm_model,
            prompt_hash=asking.hash,
            trace_ids=tuple(one.trace_id for one in asking.digests),
        )
        private = is_private(playbook, traces)
        dialogue = await self._model.booked(playbook, provenance, private=private)
        first = await self._asked(dialogue, asking)
        deltas = self.proposals(first, playbook, asking)
        found = reflections_in(first, asking.digests)
        if deltas is None and found:
            prompt = self._build_prompt(playbook, traces, found)
            deltas = self.proposals(await self._asked(dialogue, prompt), playbook, prompt)
        elif deltas is None and found is not None:
            deltas = ()
        outcome = None if deltas is None else len(deltas)
        await dialogue.close({"reflections": len(found or ()), "deltas": outcome})
        if deltas is None:
            self._metrics.llm_errors.inc()
            log.warning("the model's answer holds no deltas", model=provenance.model)
        self._metrics.deltas_generated.inc(outcome or 0)
        return Generation(
            deltas=deltas or (),
            provenance=provenance.model_copy(update={"cost_usd": dialogue.cost}),
            readable=deltas is not None,
            neutral=neutral_in(first, _rendered(playbook, traces)),
        )

    def proposals(
        self, answer: str, playbook: ContextPlaybook, prompt: ComposedPrompt
    ) -> tuple[ContextDelta, ...] | None:
        """What ``answer`` proposes, its evidence looked up in ``prompt``; None where it is none."""
        items = self._parse_llm_response(answer)
        return None if items is None else self._deltas(items, playbook, prompt)

    def _build_prompt(
        self,
        playbook: ContextPlaybook,
        traces: Sequence[ExecutionTrace],
        reflections: Sequence[Reflection],
    ) -> ComposedPrompt:
        return compose(
            playbook,
            traces,
            reflections,
            token_budget=self._model.prompt_tokens,
            max_deltas=self._config.ace_max_deltas_per_evolution,
        )

    def _parse_llm_response(self, response: str) -> list[JsonObject] | None:
        """The proposals that were complete; None where the answer is none."""
        items = deltas_in(response)
        return None if items is None else items[: self._config.ace_max_deltas_per_evolution]

    def _track_token_usage(self, prompt_tokens: int, completion_tokens: int) -> None:
        self._metrics.llm_tokens.labels(type="prompt").inc(prompt_tokens)
        self._metrics.llm_tokens.labels(type="completion").inc(completion_tokens)

    async def _asked(self, dialogue: Dialogue, prompt: ComposedPrompt) -> str:
        answer = await dialogue.ask(prompt.text)
        self._track_token_usage(answer.prompt_tokens, answer.completion_tokens)
        return answer.text

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


def _rendered(playbook: ContextPlaybook, traces: Sequence[ExecutionTrace]) -> frozenset[str]:
    return frozenset().union(*(rendered_in(trace, playbook.playbook_id) for trace in traces))


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
