from __future__ import annotations

from agentcore.simulators.journal import KEPT_RECORDS, RequestJournal


def test_a_prompt_is_kept_as_a_hash_only() -> None:
    journal = RequestJournal(record_prompts=False)
    record = journal.arrive(b"my secret")
    again = journal.arrive(b"my secret")
    assert record.prompt_hash == again.prompt_hash
    assert record.prompt_hash != journal.arrive(b"other").prompt_hash
    assert "secret" not in str(journal.summary())
    assert "prompts" not in journal.summary()
    assert not journal.prompts


def test_prompts_are_kept_where_a_test_asks_for_it() -> None:
    journal = RequestJournal(record_prompts=True)
    journal.arrive(b"my secret \xff")
    assert journal.summary()["prompts"] == ["my secret \ufffd"]


def test_outcomes_and_tokens_add_up() -> None:
    journal = RequestJournal(record_prompts=False)
    for outcome in ("200", "200", "429"):
        record = journal.arrive(b"x")
        record.behaviour, record.prompt_tokens, record.completion_tokens = "act", 10, 2
        journal.leave(record, outcome)
    summary = journal.summary()
    assert summary["arrived"] == 3
    assert summary["outcomes"] == {"200": 2, "429": 1}
    assert summary["behaviours"] == {"act": 3}
    assert (summary["prompt_tokens"], summary["completion_tokens"]) == (30, 6)


def test_old_records_make_room() -> None:
    journal = RequestJournal(record_prompts=False)
    for _ in range(KEPT_RECORDS + 5):
        journal.arrive(b"x")
    assert len(journal.records) == KEPT_RECORDS
    assert journal.records[-1].number == journal.arrived == KEPT_RECORDS + 5
