from __future__ import annotations

import pytest
from hypothesis import given

from agentcore.ace.changes import operations_of
from agentcore.ace.errors import InvalidContent, InvalidOperation
from agentcore.ace.ops import Extend, apply
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from tests.unit.ace import strategies


def after(content: JsonObject, changes: JsonObject) -> JsonObject:
    return apply(content, operations_of(changes, content), version=2).content


@pytest.mark.parametrize(
    ("content", "changes", "expected"),
    [
        ({"goals": ["a", "b"]}, {"goals": ["B.", "c"]}, {"goals": ["a", "b", "c"]}),
        ({"goals": ["a"]}, {"goals": "b"}, {"goals": ["a", "b"]}),
        ({"goals": ["a"]}, {"goals": []}, {"goals": ["a"]}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3, "z": 4}}, {"a": {"x": 1, "y": 3, "z": 4}}),
        ({"a": 1}, {"a": 1.0}, {"a": 1.0}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": [1, True]}, {"a": [True, 1, 1.0]}, {"a": [1, True, 1.0]}),
        ({}, {"goals": ["a"]}, {"goals": ["a"]}),
    ],
)
def test_plain_keys_are_merged(
    content: JsonObject, changes: JsonObject, expected: JsonObject
) -> None:
    result = after(content, changes)
    assert result == expected
    assert [type(value) for value in result.values()] == [type(v) for v in expected.values()]


@pytest.mark.parametrize(
    ("content", "changes"),
    [({"a": {"x": 1}}, {"a": 5}), ({"a": {"x": 1}}, {"a": ["x"]}), ({"a": ["x"]}, {"a": None})],
)
def test_what_would_lose_something_is_refused(content: JsonObject, changes: JsonObject) -> None:
    with pytest.raises(InvalidContent, match=r"'a' is .* would be lost"):
        operations_of(changes, content)


def leaves(value: JsonValue) -> list[str]:
    if isinstance(value, dict):
        return [f"{key}/{leaf}" for key, inner in value.items() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [f"[{item!r}]" for item in value]
    return ["scalar"]


@strategies.unhurried
@given(strategies.owned, strategies.owned)
def test_nothing_is_lost_by_omission(content: JsonObject, changes: JsonObject) -> None:
    try:
        result = after(content, changes)
    except InvalidContent:
        return
    for key, value in content.items():
        if isinstance(value, list):
            kept = result[key]
            assert isinstance(kept, list)
            assert kept[: len(value)] == value
        if isinstance(value, dict):
            kept = result[key]
            assert isinstance(kept, dict)
            assert kept.keys() >= value.keys()
    assert operations_of(changes, result) == ()


def test_changes_that_are_there_already_are_nothing() -> None:
    assert operations_of({"goals": ["A"]}, {"goals": ["a", "b"]}) == ()


def test_the_reserved_key_is_not_merged() -> None:
    with pytest.raises(InvalidContent, match="reserved"):
        operations_of({"playbook": {}}, {})


def test_a_batch_stands_alone() -> None:
    with pytest.raises(InvalidContent, match="also 'goals'"):
        operations_of({"ops": [], "goals": []}, {})
    with pytest.raises(InvalidOperation):
        operations_of({"ops": {}}, {})


def test_long_lists_are_merged_in_time() -> None:
    """Comparing each with each would take minutes, and all others would wait."""
    items: list[JsonValue] = [f"goal {number}" for number in range(30_000)]
    (extended,) = operations_of({"goals": [*items, *items]}, {"goals": ["Goal 7."]})
    assert isinstance(extended, Extend)
    assert len(extended.items) == 29_999
