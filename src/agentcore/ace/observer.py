"""What the A2A side tells the context layer: agents come and go, tasks end."""

from __future__ import annotations

import structlog

from agentcore.a2a_protocol.ports import AgentEvent, TaskOutcome
from agentcore.ace.context_manager import ContextManager
from agentcore.ace.errors import PlaybookExists, UnknownAgent
from agentcore.ace.models import ExecutionTrace
from agentcore.ace.privacy import MARKED, is_private_metadata
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.storable import storable

LONGEST_TASK_ID = 255

log = structlog.get_logger()


class ContextObserver:
    """A ``TaskObserver`` and ``LifecycleListener``: each ended task leaves a trace."""

    def __init__(self, contexts: ContextManager, *, clock: Clock) -> None:
        self._contexts = contexts
        self._clock = clock

    async def task_finished(self, outcome: TaskOutcome) -> None:
        """Capture the trace of a task, once however often it is told."""
        trace = ExecutionTrace(
            trace_id=f"task:{outcome.task_id}"[:LONGEST_TASK_ID],
            agent_id=outcome.agent_id,
            task_id=outcome.task_id[:LONGEST_TASK_ID],
            execution_time=outcome.execution_time,
            success=outcome.success,
            output_quality=outcome.output_quality,
            error_message=outcome.error_message and outcome.error_message.replace("\x00", ""),
            metadata=_metadata(outcome),
            captured_at=self._clock.now(),
        )
        try:
            await self._contexts.capture_execution_trace(outcome.agent_id, trace)
        except UnknownAgent:
            log.info("the task's agent is gone, so its trace is", agent_id=outcome.agent_id)

    async def agent_registered(self, event: AgentEvent) -> None:
        """Give the agent an empty playbook, unless it has one."""
        try:
            await self._contexts.create_playbook(event.agent_id, {})
        except PlaybookExists:
            return

    async def agent_terminated(self, event: AgentEvent) -> None:
        await self._contexts.forget(event.agent_id)


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
        return storable(reported)
    except ValueError as exc:
        return {"dropped": str(exc)}
