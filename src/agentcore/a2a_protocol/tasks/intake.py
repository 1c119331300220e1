"""From a message as it was sent to what its agent is given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agentcore.a2a_protocol.handovers import (
    Station,
    caller_for,
    is_handed_on,
    kept_of,
    metadata_of,
    presented_trace,
    seconds_for,
)
from agentcore.a2a_protocol.hosting import Addressees, Hosting
from agentcore.a2a_protocol.models.handover import EXTENSION, Handover
from agentcore.a2a_protocol.models.task import TaskRecord
from agentcore.a2a_protocol.models.turn import DEADLINE, Sent
from agentcore.a2a_protocol.ports import HandoverLog, InboundMessage
from agentcore.a2a_protocol.tasks.content import parts_of, texts
from agentcore.kit.clock import Clock
from agentcore.kit.jsonvalue import JsonObject


@dataclass(frozen=True, slots=True)
class Accepted:
    """``hosting`` takes the message; it has ``seconds`` for it. ``kept`` belongs to the task."""

    sent: Sent
    hosting: Hosting
    handover: Handover
    seconds: float
    deadline: datetime
    kept: JsonObject


class Intake:
    def __init__(
        self,
        addressees: Addressees,
        station: Station,
        log: HandoverLog,
        *,
        clock: Clock,
        most_seconds: float,
    ) -> None:
        self._addressees = addressees
        self._station = station
        self._log = log
        self._clock = clock
        self._most_seconds = most_seconds

    async def addressee(self, sent: Sent, agent_id: str | None = None) -> Hosting:
        """Whom the message is for, or the agent of the task that it goes on with.

        Raises:
            InvalidParams: there is no such agent.
            UnsupportedOperation: there is no agent at all.
        """
        named = sent.named if agent_id is None else agent_id
        return await self._addressees.choose(named, sent.principal)

    def accept(
        self, sent: Sent, hosting: Hosting, task_id: str, head: JsonObject | None = None
    ) -> Accepted:
        """``head`` is the task's, where the message goes on with one.

        Raises:
            InvalidParams: what is handed on cannot be read.
            DelegationCycle: the agent has handed on this task itself.
            DelegationTooDeep: the task has come through too many agents.
        """
        mine = self._station.hop(hosting.agent_id, task_id)
        handover = self._station.accept(sent, mine, metadata_of(head or {}))
        seconds = seconds_for(sent, handover, self._most_seconds)
        deadline = self._clock.now() + timedelta(seconds=seconds)
        kept = kept_of(handover, sent, deadline)
        return Accepted(sent, hosting, handover, seconds, deadline, kept)

    async def began(self, record: TaskRecord, accepted: Accepted) -> Accepted:
        """The task is stored: if another agent has handed it on, that is told."""
        if not is_handed_on(accepted.sent):
            return accepted
        handover = await self._log.began(record, accepted.handover)
        kept = kept_of(handover, accepted.sent, accepted.deadline)
        return replace(accepted, handover=handover, kept=kept)

    def message(self, accepted: Accepted, task_id: str, message: JsonObject) -> InboundMessage:
        sent, parts = accepted.sent, parts_of(message)
        hidden = (DEADLINE, EXTENSION)
        return InboundMessage(
            message_id=str(message.get("messageId", "")),
            text=texts(parts),
            data=tuple(part.data for part in parts if isinstance(part.data, dict)),
            parts=parts,
            metadata={key: value for key, value in sent.all_metadata.items() if key not in hidden},
            context_id=str(message.get("contextId", "")),
            task_id=task_id,
            agent_id=accepted.hosting.agent_id,
            principal=caller_for(sent.principal, accepted.handover),
            deadline=accepted.deadline,
            handover=accepted.handover,
            traceparent=presented_trace(sent),
        )
