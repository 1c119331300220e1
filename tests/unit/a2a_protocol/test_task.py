from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.a2a_protocol.models.task import RUNNING, TERMINAL, TaskQuery, TaskState


def test_a_state_is_running_or_terminal_or_waits() -> None:
    waiting = set(TaskState) - RUNNING - TERMINAL
    assert waiting == {TaskState.INPUT_REQUIRED, TaskState.AUTH_REQUIRED}
    assert not RUNNING & TERMINAL


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 101}, {"state": "done"}, {"owner": "bob"}]
)
def test_queries_that_make_no_sense(query: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TaskQuery.model_validate(query)
