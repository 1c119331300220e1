from __future__ import annotations

from datetime import UTC, datetime

from agentcore.ace.models import ExecutionTrace
from agentcore.ace.trace_digest import by_interest, digest
from agentcore.kit.jsonvalue import JsonObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def trace(
    number: int, *, success: bool, quality: float | None = None, metadata: JsonObject | None = None
) -> ExecutionTrace:
    return ExecutionTrace(
        trace_id=f"id-{number}",
        agent_id="a",
        task_id="t",
        execution_time=1.23456,
        success=success,
        output_quality=quality,
        error_message=None if success else f"boom {number}",
        metadata={} if metadata is None else metadata,
        captured_at=NOW,
    )


def test_a_digest_shows_errors_word_for_word_under_a_short_id() -> None:
    one = digest(
        trace(1, success=False, quality=0.25, metadata={"violations": ["missing 'to'"], "n": 3}),
        "t1",
    )
    assert one.shown == {
        "trace_id": "t1",
        "success": False,
        "seconds": 1.235,
        "quality": 0.25,
        "error": "boom 1",
        "metadata": {"violations": ["missing 'to'"], "n": 3},
    }
    assert one.trace_id == "id-1"
    assert one.holds("missing 'to'")
    assert not one.holds("missing 'from'")


def test_secrets_our_own_notes_and_bulk_stay_out() -> None:
    metadata: JsonObject = {
        "playbook": {"bullets": ["b1"]},
        "tokens": 7,
        "said": "mail jane@example.com",
        "long": "x" * 1000,
        "many": list(range(100)),
        "deep": {"a": {"b": {"c": {"d": {"e": "f"}}}}},
    }
    one = digest(trace(1, success=True, metadata=metadata), "t1")
    shown = one.shown["metadata"]
    assert isinstance(shown, dict)
    assert shown.keys() == {"said", "long", "many", "deep"}
    assert shown["said"] == "mail [e-mail address]"
    assert shown["many"] == list(range(88, 100))
    assert len(one.line) < 800


def test_failures_come_first_the_newest_before_with_successes_among_them() -> None:
    traces = [trace(n, success=n % 2 == 0, quality=1 - n / 10) for n in range(10)]
    order = [one.trace_id for one in by_interest(traces)]
    assert order == [f"id-{n}" for n in (9, 7, 5, 8, 3, 1, 6, 4, 2, 0)]
