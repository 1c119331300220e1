"""Taking over tasks that work elsewhere from a process that died: the work itself goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from agentcore.a2a_protocol.handovers import DEADLINE, SHORTEST_SECONDS, metadata_of
from agentcore.a2a_protocol.models.handover import EXTENSION
from agentcore.a2a_protocol.models.turn import Sent
from agentcore.a2a_protocol.remote.store import RemoteTaskStore
from agentcore.a2a_protocol.tasks.endings import failed
from agentcore.a2a_protocol.tasks.intake import Accepted, Intake
from agentcore.a2a_protocol.tasks.journal import Desk, moment
from agentcore.a2a_protocol.tasks.store import StoredTask
from agentcore.a2a_protocol.tasks.turns import Turns
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, object_of
from agentcore.kit.security import Principal

AT_ONCE = 32
USER = "ROLE_USER"
LOST = "the process that followed the agent was lost, and it cannot be followed again"

log = structlog.get_logger()


class Adoption:
    def __init__(
        self, desk: Desk, turns: Turns, intake: Intake, remote: RemoteTaskStore, ids: Ids
    ) -> None:
        self._desk = desk
        self._turns = turns
        self._intake = intake
        self._remote = remote
        self._ids = ids

    async def adopt(self, now: datetime) -> Sequence[str]:
        """Follow from here what processes followed that are lost by ``now``; these tasks' ids.

        One that cannot be taken over is failed, like those that worked in the lost process.
        """
        desk = self._desk
        taken = await self._remote.adopted(desk.worker, now, now + desk.lease, AT_ONCE)
        for task_id, owner in taken:
            stored = await desk.store.whole(task_id, owner)
            if stored is None:
                continue
            try:
                await self._begin(stored)
            except AgentCoreError as error:
                log.warning("a task cannot be taken over", task=task_id, reason=error.detail)
                lost = failed(stored.record, LOST, now=moment(now), ids=self._ids)
                await desk.store.append(lost)
        return [task_id for task_id, _ in taken]

    async def _begin(self, stored: StoredTask) -> None:
        record, now = stored.record, self._desk.clock.now()
        message = _last_said(stored)
        # Nothing is asked of the agent again, so its caller needs no rights any more.
        caller = Principal(
            subject=record.owner.subject, tenant=record.owner.tenant, scopes=frozenset()
        )
        sent = Sent(principal=caller, message=message)
        hosting = await self._intake.addressee(sent, record.agent_id)
        accepted = self._intake.accept(sent, hosting, record.task_id, record.body)
        accepted = _with_deadline(accepted, stored, now)
        inbound = replace(self._intake.message(accepted, record.task_id, message), resumed=True)
        self._turns.start(record, stored.snapshot, hosting, inbound, seconds=accepted.seconds)


def _last_said(stored: StoredTask) -> JsonObject:
    said = [each for each in stored.snapshot.history if each.get("role") == USER]
    return said[-1] if said else {"messageId": stored.record.task_id, "parts": []}


def _with_deadline(accepted: Accepted, stored: StoredTask, now: datetime) -> Accepted:
    """The deadline that the lost process kept, as far as is known; no new time begins."""
    kept = object_of(metadata_of(stored.record.body).get(EXTENSION)).get(DEADLINE)
    until = stored.record.created_at + timedelta(seconds=accepted.seconds)
    if isinstance(kept, str):
        until = min(until, datetime.fromisoformat(kept))
    seconds = max((until - now).total_seconds(), SHORTEST_SECONDS)
    return replace(accepted, seconds=seconds, deadline=until)
