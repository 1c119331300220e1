from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.a2a_protocol import cursors
from agentcore.a2a_protocol.errors import InvalidParams

NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_a_position_survives_its_token() -> None:
    assert cursors.decode_position(cursors.encode_position(NOON, "t-1")) == (NOON, "t-1")


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.text("ab/+", max_size=5),
)
def test_a_token_is_safe_in_a_url(first: str, second: str) -> None:
    token = cursors.encode(first, second)
    assert token.replace("-", "").replace("_", "").isalnum()
    assert cursors.decode(token) == (first, second)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "ü",
        "!!!!",
        cursors.encode("one"),
        cursors.encode("one", "t\0wo"),
        cursors.encode("one", "two", "three"),
        "eyJhIjoxfQ",
        "WzEsMl0",
    ],
)
def test_foreign_tokens(token: str) -> None:
    with pytest.raises(InvalidParams, match="page token"):
        cursors.decode(token)


@pytest.mark.parametrize("moment", ["noon", "2026-01-01T12:00:00", ""])
def test_a_position_needs_a_time_with_a_zone(moment: str) -> None:
    with pytest.raises(InvalidParams, match="page token"):
        cursors.decode_position(cursors.encode(moment, "id"))
