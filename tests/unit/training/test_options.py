from __future__ import annotations

from typing import Any

import pytest

from agentcore.kit.errors import InvalidInput
from agentcore.training.openenv.environments.options import count


def test_a_count_is_taken_or_the_default() -> None:
    assert count({"n": 3}, "n", 7, most=10) == 3
    assert count({}, "n", 7, most=10) == 7


@pytest.mark.parametrize("wrong", [0, 11, -1, 1.5, "3", True, None, [1]])
def test_anything_else_is_refused_with_the_range(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="the reset option n is") as caught:
        count({"n": wrong}, "n", 7, most=10)
    assert caught.value.hint == "give 1 to 10"
