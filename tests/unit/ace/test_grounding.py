from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agentcore.ace.grounding import grounded
from agentcore.ace.models import ExecutionTrace
from agentcore.ace.trace_digest import TraceDigest, digest
from agentcore.kit.jsonvalue import JsonObject, JsonValue


def seen(*errors: str | None) -> list[TraceDigest]:
    return [
        digest(
            ExecutionTrace(
                trace_id=f"id-{number}",
                agent_id="a",
                task_id="t",
                execution_time=1,
                success=False,
                error_message=error,
                captured_at=datetime(2026, 1, 1, tzinfo=UTC),
            ),
            f"t{number}",
        )
        for number, error in enumerate(errors, start=1)
    ]


DIGESTS = seen("missing field 'to'", "timeout", "again missing  field 'to' here")


def operations(proposal: JsonObject) -> JsonValue:
    return grounded(proposal, DIGESTS)["ops"]


def test_quotes_become_the_traces_that_hold_them() -> None:
    evidence: list[JsonValue] = [
        {"trace_id": "t2", "quote": "missing field 'to'"},
        "never said",
        {"quote": 7},
        "to",
    ]
    add: JsonObject = {"op": "ADD", "section": "a", "text": "Name it.", "evidence": evidence}
    expected = {"op": "ADD", "section": "a", "text": "Name it.", "evidence": ["id-1", "id-3"]}
    assert operations({"changes": {"ops": [add]}}) == [expected]


def test_evidence_of_the_whole_delta_counts_for_its_operations() -> None:
    proposal: JsonObject = {"changes": {"pitfalls": ["Wait longer.", 7]}, "evidence": "timeout"}
    assert operations(proposal) == [
        {"op": "ADD", "section": "pitfalls", "text": "Wait longer.", "evidence": ["id-2"]}
    ]


def test_counts_pins_and_ids_are_not_taken_from_a_model() -> None:
    sly: list[JsonValue] = [
        {"op": "add", "section": "a", "text": "x", "pinned": True, "id": "b1", "helpful": 99},
        {"op": "TAG", "id": "b1", "helpful": 1000},
        {"op": "SET", "path": ["goals"], "value": []},
        {"op": "PUT", "section": "a", "position": 0, "bullet": {"id": "b1", "text": "x"}},
        {"op": "UPDATE", "id": "b1", "text": "y", "status": "retired"},
        {"op": 7},
        "ADD",
    ]
    assert operations({"changes": {"ops": sly}}) == [
        {"op": "ADD", "section": "a", "text": "x", "evidence": []},
        {"op": "UPDATE", "id": "b1", "text": "y", "evidence": []},
    ]


@pytest.mark.parametrize("name", ["ops", "changes"])
def test_operations_may_stand_without_the_object_around_them(name: str) -> None:
    add: JsonObject = {"op": "ADD", "section": "a", "text": "Wait."}
    assert operations({name: [add]}) == [{**add, "evidence": []}]


@pytest.mark.parametrize("changes", [None, [], "x", {}, {"ops": "x"}, {"a": {"b": 1}}])
def test_what_proposes_nothing_is_nothing(changes: JsonValue) -> None:
    assert operations({"changes": changes}) == []


def test_evidence_is_only_asked_where_traces_say_anything() -> None:
    assert grounded({}, seen(None))["evidence_required"] is False
    assert grounded({}, DIGESTS)["evidence_required"] is True
