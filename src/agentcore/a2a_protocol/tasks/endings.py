"""Ends of tasks that their agents do not write themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from agentcore.a2a_protocol.models.task import TaskRecord, TaskState
from agentcore.a2a_protocol.tasks.content import agent_message
from agentcore.a2a_protocol.tasks.snapshot import TaskSnapshot, numbered, status_event
from agentcore.a2a_protocol.tasks.writes.store import Change, Row
from agentcore.kit import jsonvalue
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject


def cancelled(record: TaskRecord, now: datetime) -> Change:
    return _ending(record, TaskState.CANCELED, now)


def failed(record: TaskRecord, reason: str, *, now: datetime, ids: Ids) -> Change:
    """``reason`` is what the task's last message says."""
    said = agent_message(str(ids.new()), record.task_id, record.context_id, [{"text": reason}])
    return _ending(record, TaskState.FAILED, now, said)


def _ending(
    record: TaskRecord, state: TaskState, now: datetime, said: JsonObject | None = None
) -> Change:
    event = status_event(record.body, state, now, said)
    told = numbered(record.version + 1, event)
    snapshot = TaskSnapshot(head=record.body, version=record.version)
    snapshot.apply(event)
    rows = [] if said is None else [Row(seq=told.seq, name=None, body=jsonvalue.dumps(said))]
    ended = replace(record, state=state, version=told.seq, body=snapshot.head, updated_at=now)
    return Change(record=ended, events=[told], messages=rows)
