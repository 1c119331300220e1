"""What the A2A side tells the context layer: agents come and go, tasks end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import structlog

from agentcore.a2a_protocol.models.agent import AgentStatus
from agentcore.a2a_protocol.ports import AgentEvent, TaskOutcome
from agentcore.ace.context_manager import ContextManager
from agentcore.ace.errors import (
    EvolutionQueueFull,
    PlaybookExists,
    PlaybookNotFound,
    UnknownAgent,
)
from agentcore.ace.models import ExecutionTrace
from agentcore.ace.ports import TaskSpending
from agentcore.ace.privacy import MARKED, is_private_metadata
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.kit.storable import storable

LONGEST_TASK_ID = 255
# Together less than the largest trace, whatever letters the message has.
LONGEST_MESSAGE = 10_000
MOST_REPORTED = 40_000

log = structlog.get_logger()


class ContextObserver:
    """A ``TaskObserver`` and ``LifecycleListener``: each ended task leaves a trace."""

    def __init__(self, contexts: ContextManager, spending: TaskSpending, *, clock: Clock) -> None:
        self._contexts = contexts
        self._spending = spending
        self._clock = clock

    async def task_finished(self, outcome: TaskOutcome) -> None:
        """Capture the trace of a task, once however often it is told."""
        spent = await self._spending.of(outcome.task_id, tenant=outcome.tenant)
        if spent is not None:
            # The ledger also knows the calls of an agent that was killed before it could tell.
            outcome = replace(outcome, tokens=spent.tokens, cost_usd=spent.cost_usd)
        trace = ExecutionTrace(
            trace_id=f"task:{outcome.task_id}"[:LONGEST_TASK_ID],
            agent_id=outcome.agent_id,
            task_id=outcome.task_id[:LONGEST_TASK_ID],
            execution_time=outcome.execution_time,
            success=outcome.success,
            output_quality=outcome.output_quality,
            error_message=outcome.error_message
            and outcome.error_message[:LONGEST_MESSAGE].replace("\x00", ""),
            metadata=_metadata(outcome),
            captured_at=self._clock.now(),
        )
        try:
            await self._contexts.capture_execution_trace(outcome.agent_id, trace)
        except UnknownAgent:
            log.info("the task's agent is gone, so its trace is", agent_id=outcome.agent_id)

    async def agent_registered(self, event: AgentEvent) -> None:
        """Give the agent an empty playbook; one that comes back learns from its last tasks."""
        with suppress(PlaybookExists):
            await self._contexts.create_playbook(event.agent_id, {})
        await self._evolve(event.agent_id)

    async def agent_moved(self, event: AgentEvent) -> None:
        """An agent that rests has time to learn from what it did."""
        if event.after is AgentStatus.SUSPENDED:
            await self._evolve(event.agent_id)

    async def agent_terminated(self, event: AgentEvent) -> None:
        """What it lived through is worked in, for when it comes back."""
        await self._contexts.forget(event.agent_id)
        await self._evolve(event.agent_id)

    async def agent_erased(self, event: AgentEvent) -> None:
        """The database has forgotten its playbook and its traces; so do the caches."""
        await self._contexts.forget(event.agent_id)

    async def _evolve(self, agent_id: str) -> None:
        """Ask for an evolution where there are new traces; with few it does nothing."""
        with suppress(UnknownAgent, PlaybookNotFound, EvolutionQueueFull):
            if (await self._contexts.evolution_status(agent_id)).pending_traces:
                await self._contexts.trigger_evolution(agent_id)


def _metadata(outcome: TaskOutcome) -> JsonObject:
    metadata: JsonObject = {**_kept(outcome.metadata), "tokens": outcome.tokens}
    if is_private_metadata(outcome.metadata):
        metadata.update(MARKED)
    if outcome.cost_usd is not None:
        metadata["cost_usd"] = str(outcome.cost_usd)
    if outcome.playbook is not None:
        metadata["playbook"] = _kept(outcome.playbook)
    return metadata


def _kept(reported: JsonObject) -> JsonObject:
    """What an agent reported, or why it cannot be stored: its task has ended either way."""
    try:
        kept = storable(reported)
    except ValueError as exc:
        return {"dropped": str(exc)}
    size = len(dumps(kept))
    return kept if size <= MOST_REPORTED else {"dropped": f"{size} bytes are too many"}
