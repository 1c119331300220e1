from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agentcore.ace.counters import folded, rendered_in
from agentcore.ace.models import ExecutionTrace
from agentcore.ace.ops import Add, Tag, apply
from agentcore.kit.jsonvalue import JsonObject, JsonValue

CONTENT = apply({}, [Add(section="a", text="x"), Add(section="a", text="y")], version=2).content


def trace(stamp: JsonValue, *, success: bool) -> ExecutionTrace:
    return ExecutionTrace(
        trace_id="i",
        agent_id="a",
        task_id="t",
        execution_time=1,
        success=success,
        metadata={"playbook": stamp},
        captured_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def stamp(*bullets: JsonValue, playbook: str = "p") -> JsonObject:
    return {"playbook_id": playbook, "bullets": list(bullets)}


def test_bullets_get_credit_for_the_tasks_they_were_shown_in() -> None:
    traces = [
        trace(stamp("b1", "b2", "b1"), success=True),
        trace(stamp("b1"), success=False),
        trace(stamp("b1", "b9"), success=True),
        trace(stamp("b2", playbook="other"), success=False),
    ]
    assert folded(CONTENT, "p", traces) == (
        Tag(id="b1", helpful=2, harmful=1),
        Tag(id="b2", helpful=1),
    )


@pytest.mark.parametrize(
    "given",
    [None, "b1", [], {}, {"playbook_id": "p"}, {"playbook_id": "p", "bullets": "b1"}, stamp(7)],
)
def test_a_malformed_stamp_credits_nobody(given: JsonValue) -> None:
    assert rendered_in(trace(given, success=True), "p") == frozenset()
