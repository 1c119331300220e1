from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentcore.cli.foreign import shown


@given(st.text())
def test_nothing_that_steers_a_terminal_gets_through(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in shown(text))


def test_what_is_escaped_stays_readable() -> None:
    assert shown("a\x1b[2J\0\x9bb\u202e é\n") == "a\\x1b[2J\\x00\\x9bb\\u202e é\n"
    assert shown("abc", most=2) == "ab…"
