from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.a2a_protocol.models.handover import NOTHING_SPENT, SPENT, Spent
from agentcore.a2a_protocol.models.task import TaskState
from agentcore.a2a_protocol.tasks.relay import relayed, spent_in
from agentcore.a2a_protocol.tasks.snapshot import TaskSnapshot, artifact_event, status_event
from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject, JsonValue, object_of, objects_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
THERE: JsonObject = {"id": "theirs", "contextId": "c9", "status": {"state": "TASK_STATE_WORKING"}}
IDS = Ids()


def here() -> TaskSnapshot:
    return TaskSnapshot(
        head={"id": "ours", "contextId": "c1", "status": {"state": "TASK_STATE_WORKING"}}, version=1
    )


def there() -> TaskSnapshot:
    return TaskSnapshot(head=dict(THERE), version=1)


def take(ours: TaskSnapshot, event: JsonObject) -> int:
    state = TaskState(str(object_of(ours.head["status"])["state"]))
    events = list(relayed(ours, event, state, now=NOW, ids=IDS))
    for each in events:
        ours.apply(each)
    return len(events)


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({"cost_usd": 0.5, "tokens": 3.0}, Spent(cost_usd=Decimal("0.5"), tokens=3)),
        ({"tokens": 3}, Spent(tokens=3)),
        ({"cost_usd": "1e-999999"}, NOTHING_SPENT),
        ({"cost_usd": "1e999999"}, NOTHING_SPENT),
        ({"cost_usd": -1, "tokens": 3}, NOTHING_SPENT),
        ({"tokens": 1e300}, NOTHING_SPENT),
        ("much", NOTHING_SPENT),
    ],
)
def test_the_cost_that_is_told_elsewhere(told: JsonValue, read: Spent) -> None:
    """Of anybody's server: what is no sum is passed over."""
    for kind in ("task", "statusUpdate"):
        ended: JsonObject = {"status": {"state": "TASK_STATE_FAILED"}, "metadata": {SPENT: told}}
        assert spent_in({kind: ended}) == read
        assert (
            spent_in({kind: {**ended, "status": {"state": "TASK_STATE_WORKING"}}}) is NOTHING_SPENT
        )
    assert spent_in({"message": {"metadata": {SPENT: told}}}) is NOTHING_SPENT


CHUNKS = st.lists(st.tuples(st.sampled_from("ab"), st.text("xyz", max_size=2)), max_size=12)


@given(CHUNKS, st.integers(0, 12), st.integers(0, 12))
def test_what_a_gap_has_swallowed_comes_with_the_task(
    chunks: list[tuple[str, str]], begin: int, end: int
) -> None:
    """Chunks arrive, or are lost until the whole task is read: in the end all are here once."""
    ours, theirs = here(), there()
    for number, (name, text) in enumerate(chunks):
        artifact: JsonObject = {"artifactId": name, "parts": [{"text": text}]}
        event = artifact_event(theirs.head, artifact, append=name in theirs.artifacts, last=False)
        theirs.apply(event)
        if not begin <= number <= end:
            take(ours, event)
        elif number == end:
            take(ours, {"task": theirs.rendered()})
    take(ours, {"task": theirs.rendered()})
    assert ours.artifacts == theirs.artifacts


def test_a_task_that_is_here_already_is_no_news() -> None:
    ours, theirs = here(), there()
    said: JsonObject = {"messageId": "m1", "role": "ROLE_AGENT", "parts": [{"text": "on it"}]}
    theirs.apply(status_event(theirs.head, TaskState.WORKING, NOW, said))
    assert take(ours, {"task": theirs.rendered()}) == 1
    assert take(ours, {"task": theirs.rendered()}) == 0
    (message,) = ours.history
    assert (message["taskId"], message["contextId"], message["messageId"]) == ("ours", "c1", "m1")


def test_states() -> None:
    ours = here()
    for state in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_UNSPECIFIED", "?"):
        assert take(ours, {"statusUpdate": {"status": {"state": state}}}) == 0
    assert take(ours, {"statusUpdate": {"status": {"state": "TASK_STATE_AUTH_REQUIRED"}}}) == 1
    assert object_of(ours.head["status"])["state"] == "TASK_STATE_AUTH_REQUIRED"


def test_a_message_is_the_end_and_text_is_made_storable() -> None:
    ours = here()
    assert take(ours, {"message": {"messageId": "", "parts": [{"text": "a\0b"}]}}) == 1
    status = object_of(ours.head["status"])
    message = object_of(status["message"])
    assert status["state"] == "TASK_STATE_COMPLETED"
    assert message["messageId"]
    assert "\0" not in str(objects_of(message["parts"])[0]["text"])
