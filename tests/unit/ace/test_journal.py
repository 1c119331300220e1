from __future__ import annotations

from datetime import UTC, datetime
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
    rebuilt,
    seed,
    undoing,
)
from agentcore.ace.models import ContextDelta, ContextPlaybook
from agentcore.ace.operations import Operation, apply
from agentcore.kit.jsonvalue import JsonObject
from tests.unit.ace import strategies

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def first(content: JsonObject) -> ContextPlaybook:
    return ContextPlaybook(
        playbook_id="p", agent_id="a", version=1, content=content, created_at=NOW, updated_at=NOW
    )


def delta(number: int) -> ContextDelta:
    return ContextDelta(
        delta_id=f"d{number}",
        playbook_id="p",
        changes={"n": number},
        confidence=0.8,
        reasoning="why",
        generated_at=NOW,
    )


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
        back = undoing(playbook.content, reversed(entries[version:]))
        result = apply(playbook.content, back, version=playbook.version + 1).content
        then = Draft.of(rebuilt(entries[:version]))
        then.next_id = Draft.of(playbook.content).next_id
        assert result == then.content()


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
