from __future__ import annotations

import pytest

from agentcore.ace.counters import Texts, folded, rendered_in, texts_at, version_of
from agentcore.ace.journal import Entry, advance
from agentcore.ace.models import ContextPlaybook, ExecutionTrace
from agentcore.ace.ops import Add, Operation, Remove, Tag, Update
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.fakes.playbooks import NOW, made_delta, made_playbook

EVERY = range(100)


def trace(stamp: JsonValue, *, success: bool) -> ExecutionTrace:
    return ExecutionTrace(
        trace_id="i",
        agent_id="a",
        task_id="t",
        execution_time=1,
        success=success,
        metadata={"playbook": stamp},
        captured_at=NOW,
    )


def stamp(*bullets: JsonValue, playbook: str = "p", version: JsonValue = 2) -> JsonObject:
    return {"playbook_id": playbook, "version": version, "bullets": list(bullets)}


def lived(*batches: list[Operation]) -> tuple[ContextPlaybook, list[Entry]]:
    """The playbook after the batches, and its entries, the newest first."""
    playbook = made_playbook()
    entries: list[Entry] = []
    for number, batch in enumerate(batches):
        delta = made_delta(delta_id=f"d{number}")
        playbook, entry = advance(playbook, delta, batch, now=NOW)
        entries.insert(0, entry)
    return playbook, entries


TWO: list[Operation] = [Add(section="a", text="x"), Add(section="a", text="y")]


def texts_of(playbook: ContextPlaybook, entries: list[Entry]) -> Texts:
    return texts_at(playbook, entries, EVERY)


def test_bullets_get_credit_for_the_tasks_they_were_shown_in() -> None:
    playbook, entries = lived(TWO)
    traces = [
        trace(stamp("b1", "b2", "b1"), success=True),
        trace(stamp("b1"), success=False),
        trace(stamp("b1", "b9"), success=True),
        trace(stamp("b2", playbook="other"), success=False),
    ]
    assert folded(playbook, traces, texts_of(playbook, entries)) == (
        Tag(id="b1", helpful=2, harmful=1),
        Tag(id="b2", helpful=1),
    )


def test_what_a_bullet_said_before_is_neither_to_its_credit_nor_held_against_it() -> None:
    playbook, entries = lived(
        TWO,
        [Tag(id="b1", helpful=1)],
        [Update(id="b1", text="z")],
        [Update(id="b1", text="x"), Remove(id="b2")],
    )
    traces = [trace(stamp("b1", "b2", version=version), success=True) for version in range(1, 7)]
    # At version 4 it said something else; version 1 had no bullets, and 6 is still to come.
    assert folded(playbook, traces, texts_of(playbook, entries)) == (Tag(id="b1", helpful=3),)


def test_texts_are_found_as_far_back_as_the_entries_lead() -> None:
    playbook, entries = lived(TWO, [Update(id="b1", text="z")], [Remove(id="b2")])
    assert texts_at(playbook, entries[:2], {2, 4}) == {4: {"b1": "z"}, 2: {"b1": "x", "b2": "y"}}
    assert texts_at(playbook, [], {3, 4}) == {4: {"b1": "z"}}
    assert texts_at(playbook, entries, ()) == {}


@pytest.mark.parametrize(
    "given",
    [None, "b1", [], {}, {"playbook_id": "p"}, {"playbook_id": "p", "bullets": "b1"}, stamp(7)],
)
def test_a_malformed_stamp_credits_nobody(given: JsonValue) -> None:
    assert rendered_in(trace(given, success=True), "p") == frozenset()


@pytest.mark.parametrize("version", [None, "2", True, 2.0, [2]])
def test_a_stamp_without_a_version_credits_nobody(version: JsonValue) -> None:
    playbook, entries = lived(TWO)
    shown = trace(stamp("b1", version=version), success=True)
    assert version_of(shown, "p") is None
    assert folded(playbook, [shown], texts_of(playbook, entries)) == ()
