from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentcore.ace.content import RESERVED, Draft
from agentcore.ace.difference import between, difference, identical
from agentcore.ace.errors import InvalidOperation
from agentcore.ace.ops import Operation, apply, parse_operations, touched
from agentcore.kit.jsonvalue import JsonObject
from tests.unit.ace import strategies


def grown(content: JsonObject, batches: list[list[Operation]]) -> JsonObject:
    """``content`` after those of the batches that can be applied."""
    for version, batch in enumerate(batches, start=2):
        try:
            content = apply(content, batch, version=version).content
        except InvalidOperation:
            continue
    return Draft.of(content).content()


def without_numbers(content: JsonObject) -> JsonObject:
    """The bullets and the owner's keys, whatever number comes next."""
    draft = Draft.of(content)
    draft.next_id = 1
    return draft.content()


histories = st.lists(strategies.batches, max_size=4)


@strategies.unhurried
@given(strategies.owned, histories, strategies.owned, histories)
def test_what_lies_between_two_contents_leads_from_one_to_the_other_and_back(
    here: JsonObject,
    before: list[list[Operation]],
    there: JsonObject,
    after: list[list[Operation]],
) -> None:
    one, other = grown(here, before), grown(there, after)
    done = apply(one, between(one, other), version=9)
    assert identical(without_numbers(done.content), without_numbers(other))
    assert Draft.of(done.content).next_id == max(Draft.of(one).next_id, Draft.of(other).next_id)
    assert identical(apply(done.content, done.inverse, version=10).content, one)


@strategies.unhurried
@given(strategies.owned, histories)
def test_nothing_lies_between_a_content_and_itself(
    here: JsonObject, batches: list[list[Operation]]
) -> None:
    content = grown(here, batches)
    assert between(content, content) == ()
    told = difference(content, content)
    assert (told.bullets, told.owner) == ((), ())


@strategies.unhurried
@given(strategies.owned, histories, histories)
def test_what_is_told_is_what_has_to_be_done(
    here: JsonObject, first: list[list[Operation]], then: list[list[Operation]]
) -> None:
    one = grown(here, first)
    other = grown(one, then)
    told = difference(one, other)
    named = {change.name for change in told.bullets}
    assert named <= touched(between(one, other))
    before = {place.bullet.id for place in Draft.of(one).bullets()}
    after = {place.bullet.id for place in Draft.of(other).bullets()}
    assert {change.name for change in told.bullets if change.kind == "added"} == after - before
    assert {change.name for change in told.bullets if change.kind == "removed"} == before - after


def test_each_kind_of_change_is_told() -> None:
    one = apply(
        {"goals": ["a"], "limit": 1, "gone": True},
        parse_operations([{"op": "ADD", "section": "s", "text": f"Rule {n}."} for n in range(4)]),
        version=2,
    ).content
    other = apply(
        one,
        parse_operations(
            [
                {"op": "REMOVE", "id": "b1"},
                {"op": "UPDATE", "id": "b2", "text": "Better."},
                {"op": "MOVE", "id": "b3", "section": "t"},
                {"op": "ADD", "section": "t", "text": "New."},
                {"op": "EXTEND", "path": ["goals"], "items": ["b"]},
                {"op": "SET", "path": ["limit"], "value": 1.0},
                {"op": "UNSET", "path": ["gone"]},
                {"op": "SET", "path": ["fresh"], "value": None},
            ]
        ),
        version=3,
    ).content
    told = difference(one, other)
    assert {change.name: change.kind for change in told.bullets} == {
        "b1": "removed",
        "b2": "changed",
        "b3": "moved",
        "b5": "added",
    }
    assert {change.name: (change.kind, change.before, change.after) for change in told.owner} == {
        "goals": ("changed", ["a"], ["a", "b"]),
        "limit": ("changed", 1, 1.0),
        "gone": ("removed", True, None),
        "fresh": ("added", None, None),
    }


def test_a_content_without_bullets_is_valid_and_differs_by_them_alone() -> None:
    old: JsonObject = {"goals": ["solve customer issues"]}
    new = apply(old, parse_operations([{"op": "ADD", "section": "s", "text": "x"}]), version=2)
    told = difference(old, new.content)
    assert [change.kind for change in told.bullets] == ["added"]
    assert told.owner == ()
    back = apply(new.content, between(new.content, old), version=3).content
    empty: JsonObject = {"schema": "ace/1", "next_id": 2, "sections": {}}
    assert back == {**old, RESERVED: empty}
