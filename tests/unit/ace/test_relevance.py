from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.ace.relevance import Index, terms

TEXTS = [
    "Verify invoices against orders.",
    "Never promise refunds.",
    "Read the ticket history before the first answer.",
    "",
]


def best(query: str) -> int | None:
    scores = Index(TEXTS).scores(query)
    return max(scores, key=lambda position: scores[position], default=None)


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("An invoice came without its order", 0),
        ("REFUND, please!", 1),
        ("what does the history of this ticket say?", 2),
        ("the and with", None),
        ("nothing in common", None),
        ("", None),
    ],
)
def test_the_text_that_shares_most_fits_best(query: str, position: int | None) -> None:
    assert best(query) == position


def test_the_score_is_that_of_the_formula() -> None:
    index = Index(["cat cat dog", "dog", "bird bird bird bird"])
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    damping = 1.2 * (1 - 0.75 + 0.75 * 3 / (8 / 3))
    assert index.scores("cat") == {0: pytest.approx(idf * 2 * 2.2 / (2 + damping))}
    assert set(index.scores("dog")) == {0, 1}
    assert index.scores("dog")[1] > index.scores("dog")[0]


def test_a_term_that_every_text_has_does_not_count_against_any() -> None:
    assert all(score > 0 for score in Index(["rule a1", "rule b2"]).scores("rule").values())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Invoices, orders & addresses", ["invoice", "order", "addresse"]),
        ("class glass", ["class", "glass"]),
        ("id 42 v2x is ok", ["42", "v2x"]),
        ("退款政策", ["退款", "款政", "政策"]),
        ("HTTP状態x9y", ["http", "状態", "x9y"]),
        ("字", ["字"]),
        ("Straße", ["strasse"]),
    ],
)
def test_terms(text: str, found: list[str]) -> None:
    assert terms(text) == found


@given(st.lists(st.text(max_size=20), max_size=6), st.text(max_size=30))
def test_any_texts_and_any_query_have_finite_scores(texts: list[str], query: str) -> None:
    scores = Index(texts).scores(query)
    assert all(math.isfinite(score) and score > 0 for score in scores.values())
    assert set(scores) <= set(range(len(texts)))
    assert scores == Index(texts).scores(query)
