from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.ace.content import Bullet
from agentcore.ace.errors import InvalidOperation
from agentcore.ace.models import RenderedContext
from agentcore.ace.ops import Add, Operation, Tag, Update, apply
from agentcore.ace.rendering import (
    Renderer,
    helpfulness,
    helpfulness_of,
    render,
)
from agentcore.kit.jsonvalue import JsonObject
from tests.fakes.playbooks import made_playbook
from tests.unit.ace import strategies

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
    playbook = made_playbook(content, operations, version=3)
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
    rendered = shown({}, [*LESSONS], task="Check these invoices", budget=38)
    assert rendered.stamp.bullets == ("b2", "b3")


def test_what_helped_comes_before_what_harmed() -> None:
    tagged = [*LESSONS, Tag(id="b1", harmful=9), Tag(id="b4", helpful=9)]
    assert shown({}, tagged, budget=38).stamp.bullets == ("b3", "b4")


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


def test_newcomers_have_a_share_of_a_room_that_proven_bullets_would_fill() -> None:
    old: list[Operation] = [Add(section="a", text=f"Proven rule number {n}.") for n in range(40)]
    new: list[Operation] = [Add(section="a", text=f"Recent rule number {n}.") for n in range(5)]
    proven: list[Operation] = [Tag(id=f"b{n + 1}", helpful=20) for n in range(40)]
    seen: list[Operation] = [Tag(id="b43", helpful=1), Tag(id="b41", harmful=1)]
    rendered = shown({}, [*old, *new, *proven, *seen], task="proven rule", budget=145)
    newcomers = [bullet for bullet in rendered.stamp.bullets if int(bullet[1:]) > 40]
    # The least seen come first: the others' turn comes when these have been counted.
    assert newcomers == ["b42", "b44", "b45"]
    assert len(rendered.stamp.bullets) > 2 * len(newcomers)
    alone = shown({}, [*old, *new, *proven, *seen], task="proven rule", budget=20)
    assert len(alone.stamp.bullets) == 1
    assert int(alone.stamp.bullets[0][1:]) <= 40


def test_a_rule_for_every_task_is_not_pushed_out_by_a_chance_word() -> None:
    bullets: list[Operation] = [
        Add(section="a", text="Answer in one JSON object."),
        Add(section="b", text="Refunds above the limit need an approval by the duty manager."),
        Add(section="b", text="Ask the customer whether the parcel was opened."),
        Tag(id="b1", helpful=30),
        Tag(id="b2", helpful=5, harmful=25),
        Tag(id="b3", helpful=25, harmful=5),
    ]
    # It fits best, but has done harm; the general rule and the proven one come before it.
    task = "The customer wants a refund of an opened parcel"
    assert shown({}, bullets, task=task, budget=50).stamp.bullets == ("b1", "b3")


def test_of_a_bullet_that_nobody_has_seen_the_average_is_expected() -> None:
    bad = Bullet(id="b1", text="x", helpful=1, harmful=9)
    assert helpfulness_of([bad]) == pytest.approx(2 / 12)
    assert helpfulness(Bullet(id="b2", text="y"), 0.25) == 0.25
    assert helpfulness(bad, 0.25) == pytest.approx(2 / 14)
    assert helpfulness_of([]) == 0.5


def test_the_owner_s_items_and_the_pinned_are_shown_whatever_the_task() -> None:
    others: list[Operation] = [Add(section="x", text=f"Invoice rule {n}.") for n in range(30)]
    rendered = shown(OWNER, [*LESSONS, *others], task="invoice rule", budget=60)
    assert rendered.text.startswith("## PLAYBOOK\n### goals\n- solve issues\n### limits\n")
    assert "b3" in rendered.stamp.bullets


def test_what_is_kept_of_a_version_renders_as_a_fresh_one() -> None:
    playbook = made_playbook(OWNER, LESSONS, version=2)
    later = playbook.model_copy(
        update={
            "version": 3,
            "content": apply(playbook.content, [Tag(id="b1", helpful=9)], version=3).content,
        }
    )
    for renderer in (Renderer(), Renderer(most=10), Renderer(most=0)):
        for one in (playbook, later, playbook):
            for task in ("invoices", "history"):
                fresh = render(one, task_text=task, token_budget=40)
                assert renderer.render(one, task_text=task, token_budget=40) == fresh
