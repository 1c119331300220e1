from __future__ import annotations

import pytest
from pydantic import JsonValue

from agentcore.kit.storable import check_storable, made_storable, storable


@pytest.mark.parametrize(
    "value",
    [
        {"a": "\x00"},
        {"\x00": 1},
        {"a": "\ud800"},
        {"a": [float("nan")]},
        {"a": float("inf")},
        {"a": 2**63},
        {"a": -(2**63) - 1},
    ],
)
def test_what_the_database_cannot_keep_is_refused(value: dict[str, JsonValue]) -> None:
    with pytest.raises(ValueError, match=r"."):
        storable(value)


def test_nesting_has_a_bound() -> None:
    deep: JsonValue = "x"
    for _ in range(40):
        deep = [deep]
    with pytest.raises(ValueError, match="nested"):
        storable({"a": deep})
    check_storable(deep, deepest=40)


def test_what_it_can_keep_is_given_back() -> None:
    value: dict[str, JsonValue] = {"": [1, 2**63 - 1, -0.0, True, None, {"\ue000": "\u2028"}]}
    assert storable(value) is value


def test_what_comes_from_elsewhere_is_made_storable() -> None:
    odd: JsonValue = {"a\x00": ["b\x00", {"c": "\ud800"}, 1, None]}
    kept = made_storable(odd)
    assert kept == {"a\ufffd": ["b\ufffd", {"c": "\\ud800"}, 1, None]}
    check_storable(kept, deepest=3)
