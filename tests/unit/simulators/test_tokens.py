from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.simulators.tokens import MESSAGE_OVERHEAD, count_tokens, pieces, prompt_tokens


@given(st.text())
def test_pieces_joined_are_the_text_and_their_number_is_its_count(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert count_tokens(text) == len(pieces(text))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("hello there", 2), ("capability", 2), ("123456", 2), ('{"a":1}', 4)],
)
def test_counts(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_each_message_costs_its_frame() -> None:
    more = prompt_tokens(["a", "b"]) - prompt_tokens(["a"])
    assert more == 1 + MESSAGE_OVERHEAD
