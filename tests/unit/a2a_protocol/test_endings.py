from __future__ import annotations

from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.tasks.endings import cancelled, failed
from agentcore.a2a_protocol.tasks.snapshot import status_text
from agentcore.kit.ids import Ids
from tests.fakes.a2a_tasks import NOW, record


def test_a_failure_says_why_in_the_tasks_last_message() -> None:
    before = record(version=7)
    change = failed(before, "the process was lost", now=NOW, ids=Ids())
    assert (change.expected, change.record.version) == (7, 8)
    assert change.record.state is TaskState.FAILED
    assert status_text(change.record.body) == "the process was lost"
    assert [(row.seq, row.name) for row in change.messages] == [(8, None)]
    assert [event.state for event in change.events] == [TaskState.FAILED]
    assert before.body["status"] == {"state": "TASK_STATE_WORKING"}, "what was read stays"


def test_a_cancellation_needs_no_words() -> None:
    change = cancelled(record(), NOW)
    assert change.record.state is TaskState.CANCELED
    assert change.messages == []
