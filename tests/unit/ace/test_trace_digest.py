from __future__ import annotations

import sys
from datetime import UTC, datetime

import pytest

from agentcore.ace.models import ExecutionTrace
from agentcore.ace.trace_digest import by_interest, digest
from agentcore.kit.jsonvalue import JsonObject, JsonValue

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


@pytest.mark.parametrize(
    "metadata",
    [
        {"password": "hunter2"},
        {"user": {"api_key": 1234567}},
        {"Authorization": ["Basic", "abc"]},
        {"card": 4111111111111111},
        {"card": "4111 1111\n1111    1111"},
        {"jane@example.com": 1},
        {"said": "x " * 1990 + "sk-" + "abcdefghijklmnopqrst" * 3},
    ],
)
def test_what_hides_in_names_numbers_and_line_breaks_stays_out_too(metadata: JsonObject) -> None:
    line = digest(trace(1, success=True, metadata=metadata), "t1").line
    for secret in ("hunter2", "1234567", "abc", "4111", "jane"):
        assert secret not in line


def test_a_huge_trace_costs_no_more_than_a_large_one() -> None:
    wide: JsonValue = "a." * 40_000
    for _ in range(4):
        wide = {f"k{n}": wide for n in range(13)}
    one = digest(trace(1, success=True, metadata={"wide": wide}), "t1")
    assert len(one.texts) <= 2 * 120


def test_of_a_long_text_no_more_is_kept_than_what_is_read() -> None:
    text = "a word of a long log, " * 1000
    one = trace(1, success=True, metadata={"log": text})
    known = sys.getrefcount(text)
    assert "a word of a long log" in digest(one, "t1").line
    assert sys.getrefcount(text) == known
