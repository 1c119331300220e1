from __future__ import annotations

from agentcore.training.openenv.environments.reading import members, number, strings


def test_what_is_absent_or_of_another_kind_is_nothing() -> None:
    assert members({"a": [{"b": 1}, 2]}, "a") == [{"b": 1}]
    assert members({"a": "text"}, "a") == members({}, "a") == []
    assert strings(["x", 1, "y"]) == ["x", "y"]
    assert strings(None) == []
    assert (number(3), number(0.5), number("3"), number(None)) == (3.0, 0.5, 0.0, 0.0)
