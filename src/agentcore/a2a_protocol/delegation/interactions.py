"""The log of tasks that were handed on; one that fails takes along those that work for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from agentcore.a2a_protocol import cursors
from agentcore.a2a_protocol.delegation.models import Asked, Interaction
from agentcore.a2a_protocol.delegation.store import InteractionStore
from agentcore.a2a_protocol.models.handover import Handover
from agentcore.a2a_protocol.models.task import Owner, TaskRecord
from agentcore.a2a_protocol.ports import TaskOutcome
from agentcore.a2a_protocol.views import owner_of
from agentcore.kit.clock import Clock
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.security import Principal

Cancel = Callable[[Owner, str], Awaitable[object]]


class Interactions:
    """``cancel`` ends a task; a ``HandoverLog`` and a ``TaskObserver``."""

    def __init__(self, store: InteractionStore, cancel: Cancel, clock: Clock) -> None:
        self._store = store
        self._cancel = cancel
        self._clock = clock

    async def began(self, record: TaskRecord, handover: Handover) -> Handover:
        *earlier, mine = handover.chain
        source = earlier[-1] if earlier else None
        budget_usd = await self._store.began(
            Interaction(
                task_id=record.task_id,
                tenant=record.owner.tenant,
                owner=record.owner.subject,
                source_agent=source.agent if source else "",
                source_task=source.task if source else "",
                source_installation=source.installation if source else "",
                target_agent=mine.agent,
                trace_id=(handover.traceparent or "-").split("-")[1],
                depth=len(handover.chain),
                private=handover.private,
                state=record.state.value,
                created_at=record.created_at,
                budget_usd=handover.budget_usd,
            )
        )
        return handover.model_copy(update={"budget_usd": budget_usd})

    async def task_finished(self, outcome: TaskOutcome) -> None:
        if outcome.handover:
            await self._store.ended(outcome, self._clock.now())
        if outcome.success:
            return
        for task_id, owner in await self._store.running_for(outcome.task_id, outcome.tenant):
            # What cannot be cancelled has just ended.
            with suppress(AgentCoreError):
                await self._cancel(owner, task_id)

    async def page(self, principal: Principal, asked: Asked) -> JsonObject:
        """``interactions`` of the caller's own tasks, newest first, and ``next_cursor``."""
        after = cursors.decode_position(asked.cursor) if asked.cursor else None
        found = await self._store.page(owner_of(principal), asked, after)
        page = found[: asked.limit]
        token = None
        if len(found) > asked.limit:
            token = cursors.encode_position(page[-1].created_at, page[-1].task_id)
        listed: list[JsonValue] = [each.as_json() for each in page]
        return {"interactions": listed, "next_cursor": token}
