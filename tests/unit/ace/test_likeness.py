from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.ace.likeness import Likeness, gutted
from tests.unit.ace import strategies

KNOWN = {
    "b1": "When an order has no id, ask the customer for it before you act.",
    "b2": "Name the receiver in every message that you send.",
    "b3": "Retry a call that timed out at most 3 times, with pauses between.",
    "b4": "Use get_user for lookups by name.",
    "b5": "Always confirm a refund with the customer before paying it out.",
}


@pytest.mark.parametrize(
    ("text", "bullet"),
    [
        ("When an order has no id, ask the customer for it before you act!", "b1"),
        ("When the order has no id, ask the customer for it before you act.", "b1"),
        ("Name the receiver in every message you send.", "b2"),
        ("Retry a call that timed out at most 5 times, with pauses between.", None),
        ("Use get_users for lookups by name.", None),
        ("Never confirm a refund with the customer before paying it out.", None),
        ("Sort invoices by date.", None),
        ("", None),
    ],
)
def test_the_same_in_other_words_is_found_and_the_opposite_is_not(
    text: str, bullet: str | None
) -> None:
    assert Likeness(KNOWN).like(text) == bullet


def test_what_every_lesson_says_makes_none_alike() -> None:
    stem = "When the customer asks for help with an open order, look at the "
    texts = {f"b{n}": f"{stem}{word}." for n, word in enumerate(("price", "stock", "route"))}
    assert Likeness(texts).like(f"{stem}weather.") is None


def test_nothing_is_like_nothing() -> None:
    assert Likeness({}).like("Check twice.") is None


@strategies.unhurried
@given(st.lists(st.text(min_size=1, max_size=60), max_size=6, unique=True))
def test_each_text_is_like_itself(texts: list[str]) -> None:
    found = Likeness({str(n): text for n, text in enumerate(texts)})
    for text in texts:
        like = found.like(text)
        assert like is not None
        assert found.like(texts[int(like)]) is not None


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        ("Retry a call that timed out at most twice, with pauses between.", False),
        ("Retry.", True),
        ("Sort invoices by date and by the name of the customer.", True),
    ],
)
def test_a_rewritten_lesson_keeps_most_of_what_it_said(after: str, lost: object) -> None:
    assert gutted(KNOWN["b3"], after) is lost
