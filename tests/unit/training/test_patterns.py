from __future__ import annotations

import re
from random import Random

import pytest

from agentcore.training.openenv.patterns import PatternTooHard, matching


@pytest.mark.parametrize(
    "pattern",
    [
        "abc",
        "^a|b$",
        r"^\d{3}-\d{4}$",
        r"^[a-zA-Z_][\w.-]{0,63}$",
        r"^(?:ab?)+$",
        r"^(?P<name>x|y){2}$",
        r"^(?P<name>x)(?:[0-9]{2,})?$",
        r"^[^a-z\s]+\S$",
        r"^\x41\u0042\.\/$",
        r"^[]x-]{2}$",
        r"^a*?b+?$",
        r"^\[\{.+\}\]$",
        "",
    ],
)
def test_what_is_written_matches(pattern: str) -> None:
    for seed in range(30):
        assert re.search(pattern, matching(pattern, Random(seed)))


def test_counts_vary() -> None:
    assert {len(matching("a{0,2}", Random(seed))) for seed in range(60)} == {0, 1, 2}


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)",
        "(?<!a)b",
        r"\1",
        r"\bword",
        "*a",
        "a{x}",
        "a{2",
        "a{3,1}",
        "a)",
        "(a",
        "[a",
        r"\xzz",
    ],
)
def test_what_is_too_hard_is_refused(pattern: str) -> None:
    with pytest.raises(PatternTooHard):
        matching(pattern, Random(0))
