"""Whether a message may begin something: its task has to be open, its agent in service."""

from __future__ import annotations

from agentcore.a2a_protocol.errors import AgentNotAccepting, UnsupportedOperation
from agentcore.a2a_protocol.models.agent import AT_WORK, AgentStatus
from agentcore.a2a_protocol.models.task import TERMINAL, TaskRecord
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore


def check_open(record: TaskRecord) -> None:
    if record.state in TERMINAL:
        raise UnsupportedOperation(
            f"the task {record.task_id} has ended: {record.state}",
            hint="send the message without a taskId; its contextId keeps the context",
        )


async def check_new(store: VersionedTaskStore, record: TaskRecord) -> None:
    """For a task that was not begun: raises if its agent takes none."""
    status = await store.standing(record.agent_id, record.owner.tenant)
    if status is not AgentStatus.ACTIVE:
        raise AgentNotAccepting(record.agent_id, status.value)


async def check_going_on(store: VersionedTaskStore, record: TaskRecord) -> None:
    """An agent that drains goes on with its tasks; one that is suspended does not."""
    status = await store.standing(record.agent_id, record.owner.tenant)
    if status not in AT_WORK:
        raise AgentNotAccepting(record.agent_id, status.value)
