from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.ace.errors import InvalidOperation
from agentcore.ace.models import ContextPlaybook, RenderedContext
from agentcore.ace.ops import Add, Operation, Tag, Update, apply
from agentcore.ace.rendering import estimated_tokens, render
from agentcore.kit.jsonvalue import JsonObject
from tests.unit.ace import strategies

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWNER: JsonObject = {"goals": ["solve\nissues"], "limits": {"seconds": 5}, "note": "hi"}
LESSONS: list[Operation] = [
    Add(section="style", text="Answer politely."),
    Add(section="checks", text="Verify invoices against orders."),
    Add(section="checks", text="Never promise refunds.", pinned=True),
    Add(section="checks", text="Read the ticket history."),
]


def shown(
    content: JsonObject, operations: list[Operation], *, task: str = "", budget: int = 2000
) -> RenderedContext:
    playbook = ContextPlaybook(
        playbook_id="p",
        agent_id="a",
        version=3,
        content=apply(content, operations, version=2).content,
        created_at=NOW,
        updated_at=NOW,
    )
    return render(playbook, task_text=task, token_budget=budget)


def test_a_page_has_the_owner_s_keys_and_the_bullets_in_sections() -> None:
    rendered = shown(OWNER, [*LESSONS])
    assert rendered.text == (
        "## PLAYBOOK\n"
        "### goals\n- solve issues\n"
        "### limits\n- seconds: 5\n"
        "### note\n- hi\n"
        "### style\n- [b1] Answer politely.\n"
        "### checks\n- [b2] Verify invoices against orders.\n- [b3] Never promise refunds.\n"
        "- [b4] Read the ticket history.\n"
    )
    assert rendered.stamp.as_json() == {
        "playbook_id": "p",
        "version": 3,
        "bullets": ["b1", "b2", "b3", "b4"],
        "hash": rendered.stamp.hash,
        "arm": "champion",
    }


def test_under_a_budget_the_pinned_and_the_relevant_stay() -> None:
    rendered = shown({}, [*LESSONS], task="Check these invoices", budget=26)
    assert rendered.stamp.bullets == ("b2", "b3")


def test_what_helped_comes_before_what_harmed() -> None:
    tagged = [*LESSONS, Tag(id="b1", harmful=9), Tag(id="b4", helpful=9)]
    assert shown({}, tagged, budget=28).stamp.bullets == ("b3", "b4")


def test_retired_bullets_are_not_shown() -> None:
    rendered = shown({}, [*LESSONS, Update(id="b2", status="retired")])
    assert "b2" not in rendered.stamp.bullets


def test_bullets_in_an_owner_s_section_follow_its_items() -> None:
    rendered = shown({"goals": ["win"]}, [Add(section="goals", text="Play fair.")])
    assert rendered.text == "## PLAYBOOK\n### goals\n- win\n- [b1] Play fair.\n"


def test_new_bullets_and_counts_leave_what_stands_before_them() -> None:
    before = shown(OWNER, [*LESSONS]).text
    after = shown(OWNER, [*LESSONS, Tag(id="b1", harmful=3), Add(section="new", text="Last.")]).text
    assert after.startswith(before)


@pytest.mark.parametrize("content", [{}, {"goals": []}, {"note": ""}])
def test_an_empty_playbook_renders_to_nothing(content: JsonObject) -> None:
    rendered = shown(content, [])
    assert (rendered.text, rendered.tokens, rendered.stamp.bullets) == ("", 0, ())


@strategies.unhurried
@given(strategies.owned, strategies.batches, st.text(max_size=30), st.integers(0, 120))
def test_the_budget_is_kept_and_the_page_is_stable(
    content: JsonObject, batch: list[Operation], task: str, budget: int
) -> None:
    try:
        rendered = shown(content, batch, task=task, budget=budget)
    except InvalidOperation:
        return
    assert rendered.tokens <= budget
    assert rendered == shown(content, batch, task=task, budget=budget)
    for line in rendered.text.splitlines():
        assert line.startswith(("## PLAYBOOK", "### ", "- "))


def test_tokens_are_not_underestimated_for_what_we_render() -> None:
    # Four bytes a token: English runs to about five characters, CJK to three bytes and more.
    assert estimated_tokens("abcd" * 10) == 10
    assert estimated_tokens("词" * 4) == 3
    assert estimated_tokens("") == 0
