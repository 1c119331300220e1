from __future__ import annotations

import pytest

from agentcore.a2a_protocol import cursors
from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.models.task import TaskFilter, TaskState
from agentcore.a2a_protocol.views import history_of, listing
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.a2a_tasks import NOW


def test_what_a_list_asks_for() -> None:
    assert listing({}, "") == TaskFilter(limit=50, artifacts=False)
    asked: JsonObject = {
        "pageSize": 3,
        "pageToken": cursors.encode_position(NOW, "t"),
        "status": "TASK_STATE_FAILED",
        "contextId": "c",
        "statusTimestampAfter": "2026-01-01T00:00:00Z",
        "historyLength": 2,
        "includeArtifacts": True,
    }
    assert listing(asked, "poet") == TaskFilter(
        state=TaskState.FAILED,
        context_id="c",
        agent_id="poet",
        updated_since=NOW,
        after=(NOW, "t"),
        limit=3,
        history=2,
        artifacts=True,
    )
    assert listing({"status": "TASK_STATE_UNSPECIFIED"}, "").state is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"pageSize": 0},
        {"pageSize": 101},
        {"pageSize": -1},
        {"pageToken": "x"},
        {"historyLength": -1},
        {"statusTimestampAfter": "9999-99-99"},
    ],
)
def test_what_no_list_can_be(wrong: JsonObject) -> None:
    with pytest.raises(InvalidParams):
        listing(wrong, "")


def test_the_length_of_history() -> None:
    assert history_of({}) is None
    assert history_of({"historyLength": 0}) == 0
