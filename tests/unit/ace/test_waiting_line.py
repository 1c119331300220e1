from __future__ import annotations

from datetime import UTC, datetime

from agentcore.ace.journal import Entry
from agentcore.ace.models import ContextDelta
from agentcore.ace.ops import Add, Operation, Remove
from agentcore.ace.waiting_line import WaitingLine


def adding(text: str) -> Add:
    return Add(section="checks", text=text)


def entry(reason: str, *operations: Operation) -> Entry:
    delta = ContextDelta(
        delta_id="d",
        playbook_id="p",
        changes={},
        confidence=1.0,
        reasoning="",
        generated_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return Entry(
        delta=delta,
        kind="delta",
        base_version=1,
        operations=operations,
        gate={"reason": reason},
    )


def reasons(line: WaitingLine, *asked: list[Operation]) -> list[object]:
    return [line.place(operations)["reason"] for operations in asked]


def test_a_line_takes_so_many_and_no_more() -> None:
    line = WaitingLine([entry("candidate", adding("one"))], most=2)
    assert reasons(line, [adding("two")], [adding("three")]) == ["candidate", "line_full"]


def test_what_is_in_trial_does_not_wait_but_is_not_said_again() -> None:
    line = WaitingLine([entry("in_trial", adding("Ask first."))], most=1)
    asked: list[Operation] = [adding("ask  FIRST")]
    assert reasons(line, asked, [adding("new")]) == ["repeated", "candidate"]


def test_only_what_adds_nothing_new_is_a_repetition() -> None:
    known = entry("candidate", adding("one"), adding("two"))
    line = WaitingLine([known], most=9)
    assert reasons(
        line,
        [adding("two")],
        [adding("two"), adding("three")],
        [adding("three")],
        [Remove(id="b1")],
        [adding("one"), Remove(id="b1")],
    ) == ["repeated", "candidate", "repeated", "candidate", "candidate"]
