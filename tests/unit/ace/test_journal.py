from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.ace.content import Draft
from agentcore.ace.errors import InvalidOperation, PlaybookTooLarge
from agentcore.ace.journal import (
    LARGEST_CONTENT,
    Entry,
    Provenance,
    advance,
    check_size,
    seed,
    snapshot_due,
    snapshots_for,
    starts_at,
)
from agentcore.ace.models import ContextDelta, ContextPlaybook
from agentcore.ace.ops import Operation, apply
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.playbooks import NOW, made_delta, made_playbook, rebuilt
from tests.unit.ace import strategies


def first(content: JsonObject) -> ContextPlaybook:
    return made_playbook(content)


def delta(number: int) -> ContextDelta:
    return made_delta({"n": number}, delta_id=f"d{number}", confidence=0.8, reasoning="why")


def stored(entry: Entry) -> Entry:
    return Entry.read(entry.delta.model_copy(update={"changes": entry.as_changes()}))


def lived(
    content: JsonObject, batches: list[list[Operation]]
) -> tuple[ContextPlaybook, list[Entry]]:
    playbook = first(Draft.of(content).content())
    entries = [stored(seed(playbook, "d1"))]
    for number, batch in enumerate(batches, start=2):
        try:
            playbook, entry = advance(playbook, delta(number), batch, now=NOW)
        except InvalidOperation:
            continue
        entries.append(stored(entry))
    return playbook, entries


@strategies.unhurried
@given(strategies.owned, st.lists(strategies.batches, max_size=5))
def test_any_version_is_rebuilt_and_gone_back_to(
    content: JsonObject, batches: list[list[Operation]]
) -> None:
    playbook, entries = lived(content, batches)
    assert rebuilt(entries) == playbook.content
    for version in range(1, playbook.version):
        undo = [operation for entry in reversed(entries[version:]) for operation in entry.inverse]
        result = apply(playbook.content, undo, version=playbook.version + 1).content
        assert result == rebuilt(entries[:version])


def test_an_entry_reads_back_as_it_was() -> None:
    playbook = first({"goals": ["a"]})
    provenance = Provenance(model="m", prompt_hash="h", trace_ids=("t",), cost_usd=Decimal("0.1"))
    _, entry = advance(
        playbook, delta(2), [], now=NOW, provenance=provenance, gate={"reason": "accepted"}
    )
    assert stored(entry) == entry


def test_the_content_has_a_bound() -> None:
    with pytest.raises(PlaybookTooLarge, match=str(LARGEST_CONTENT)):
        check_size({"note": "x" * LARGEST_CONTENT})


@pytest.mark.parametrize(
    ("before", "after", "stretch"), [(1, 2, 0), (49, 50, 1), (48, 53, 1), (50, 51, 0), (99, 150, 3)]
)
def test_a_snapshot_is_due_once_in_each_stretch(before: int, after: int, stretch: int) -> None:
    then = first({"goals": ["a"]}).model_copy(update={"version": before})
    now = then.model_copy(update={"version": after, "content": {"goals": ["a", "b"]}})
    due = snapshot_due(then, now)
    if not stretch:
        assert due is None
        return
    assert due is not None
    assert due.delta.delta_id == snapshots_for("p", stretch * 50)[0]
    kept = stored(due)
    assert (kept.kind, starts_at(kept), kept.delta.applied) == ("snapshot", after, False)
    assert rebuilt([kept]) == now.content


def test_snapshots_are_looked_for_in_the_version_s_stretch_and_the_one_before() -> None:
    assert snapshots_for("p", 49) == []
    assert len(snapshots_for("p", 99)) == 1
    assert snapshots_for("p", 120)[1] == snapshots_for("p", 60)[0]
