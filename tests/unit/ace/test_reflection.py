from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.ace.reflection import LONGEST_FINDING, neutral_in, reflections_in
from agentcore.ace.trace_digest import TraceDigest
from tests.unit.ace import strategies

SEEN = TraceDigest("id-1", {"error": "missing field 'to'"}, ("missing field 'to'",))
SILENT = TraceDigest("id-2", {"success": False}, ())


def said(**finding: object) -> str:
    return json.dumps({"reflections": [finding]})


def test_a_finding_stands_on_the_traces_that_bear_it_out() -> None:
    answer = said(key_insight="Name  it.\nMail jane@example.com.", evidence=["missing field"])
    found = reflections_in(answer, [SILENT, SEEN])
    assert found is not None
    assert found[0].trace_ids == ("id-1",)
    assert found[0].shown == {
        "key_insight": "Name it. Mail [e-mail address].",
        "evidence": ["missing field"],
    }


@pytest.mark.parametrize(
    "answer",
    [
        said(key_insight="Name it.", evidence=["said nowhere"]),
        said(key_insight="Name it."),
        said(evidence=["missing field"]),
        said(key_insight=["a"], evidence=["missing field"]),
    ],
)
def test_what_no_trace_bears_out_is_dropped(answer: str) -> None:
    assert reflections_in(answer, [SEEN]) == []


def test_where_traces_say_nothing_no_quote_is_asked_for() -> None:
    assert len(reflections_in(said(key_insight="Be quick."), [SILENT]) or ()) == 1


def test_an_answer_without_findings_is_none() -> None:
    assert reflections_in("I see nothing.", [SEEN]) is None


def test_only_what_was_shown_can_be_neutral() -> None:
    tags = [
        {"id": "b1", "tag": "neutral"},
        {"id": "b2", "tag": "helpful"},
        {"id": "b3", "tag": "neutral"},
        {"id": ["b1"], "tag": "neutral"},
    ]
    answer = json.dumps({"reflections": [], "bullet_tags": tags})
    assert neutral_in(answer, {"b1", "b2"}) == {"b1"}
    assert neutral_in("nonsense", {"b1"}) == frozenset()


@strategies.unhurried
@given(st.text(st.sampled_from('{}[]",: \\tkey_insightreflections'), max_size=200))
def test_no_answer_breaks_the_reader(answer: str) -> None:
    for reflection in reflections_in(f'{{"reflections": [{answer}', [SEEN]) or ():
        assert all(len(str(text)) <= 2 * LONGEST_FINDING for text in reflection.shown.values())
