from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from agentcore.a2a_protocol.models.task import TERMINAL, TaskState, may_follow
from agentcore.a2a_protocol.tasks.snapshot import (
    TaskSnapshot,
    artifact_event,
    joined,
    numbered,
    status_event,
    status_text,
    timestamp,
)
from agentcore.kit.jsonvalue import JsonObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEAD: JsonObject = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_SUBMITTED"}}


def message(number: int) -> JsonObject:
    return {"messageId": f"m{number}", "role": "ROLE_AGENT", "parts": [{"text": f"said {number}"}]}


def chunk(artifact_id: str, text: str, *, append: bool) -> JsonObject:
    artifact: JsonObject = {"artifactId": artifact_id, "parts": [{"text": text}]}
    return artifact_event(HEAD, artifact, append=append, last=False)


def snapshot() -> TaskSnapshot:
    return TaskSnapshot(head=dict(HEAD), version=1, history=[message(0)])


def test_a_message_of_the_status_is_no_history_yet() -> None:
    task = snapshot()
    for number in (1, 2):
        task.apply(status_event(HEAD, TaskState.WORKING, NOW, message(number)))
    assert task.version == 3
    assert task.rendered()["history"] == [message(0), message(1)]
    assert status_text(task.head) == "said 2"
    task.apply(status_event(HEAD, TaskState.COMPLETED, NOW))
    assert task.rendered()["history"] == [message(0), message(1), message(2)]
    assert task.rendered(history=1)["history"] == [message(2)]
    assert "history" not in task.rendered(history=0)


def test_chunks_are_added_and_a_new_artifact_takes_the_place_of_the_old() -> None:
    task = snapshot()
    for text, append in (("a", False), ("b", True), ("c", True)):
        task.apply(chunk("x", text, append=append))
    task.apply(chunk("y", "1", append=False))
    assert task.rendered()["artifacts"] == [
        {"artifactId": "x", "parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]},
        {"artifactId": "y", "parts": [{"text": "1"}]},
    ]
    task.apply(chunk("x", "new", append=False))
    assert task.artifacts["x"]["parts"] == [{"text": "new"}]
    assert "artifacts" not in task.rendered(artifacts=False)


def test_an_event_that_was_applied_is_not_changed_by_the_next() -> None:
    first = chunk("x", "a", append=False)
    before = numbered(2, first).body
    task = snapshot()
    task.apply(first)
    task.apply(chunk("x", "b", append=True))
    assert numbered(2, first).body == before


def test_rows_of_artifacts_join_to_what_their_events_made() -> None:
    rows: list[JsonObject] = [
        {"artifactId": "x", "name": "X", "parts": [{"text": "a"}], "metadata": {"k": 1}},
        {"artifactId": "y", "parts": []},
        {"artifactId": "x", "parts": [{"text": "b"}], "metadata": {"l": 2}},
    ]
    made = joined(rows)
    assert list(made) == ["x", "y"]
    assert made["x"]["parts"] == [{"text": "a"}, {"text": "b"}]
    assert made["x"]["metadata"] == {"k": 1, "l": 2}
    assert made["x"]["name"] == "X"


def test_events_say_which_state_they_bring() -> None:
    assert numbered(2, status_event(HEAD, TaskState.FAILED, NOW)).state is TaskState.FAILED
    assert numbered(1, {"task": HEAD}).state is TaskState.SUBMITTED
    assert numbered(3, chunk("x", "a", append=False)).state is None
    assert timestamp(NOW) == "2026-01-01T00:00:00.000Z"


@given(st.sampled_from(TaskState), st.sampled_from(TaskState))
def test_nothing_follows_an_end_and_nothing_leads_back_to_the_start(
    before: TaskState, after: TaskState
) -> None:
    allowed = before not in TERMINAL and after is not TaskState.SUBMITTED
    assert may_follow(before, after) is allowed
