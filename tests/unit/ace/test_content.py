from __future__ import annotations

import pytest

from agentcore.ace.content import Draft, Refused, normalised
from agentcore.ace.errors import InvalidContent
from agentcore.kit.jsonvalue import JsonObject, JsonValue


def itemised(**sections: JsonValue) -> JsonObject:
    return {"playbook": {"schema": "ace/1", "next_id": 9, "sections": dict(sections)}}


def test_owner_keys_stay_as_given() -> None:
    given: JsonObject = {"goals": ["a", "a"], "limits": {"seconds": 5.0}, "note": None}
    assert Draft.of(given).content() == given


def test_the_form_is_canonical() -> None:
    empty: JsonObject = {"playbook": {"schema": "ace/1", "next_id": 1, "sections": {"a": []}}}
    assert Draft.of(empty).content() == {}


def test_a_copy_is_changed_not_the_content() -> None:
    given: JsonObject = {"limits": {"seconds": 5}}
    draft = Draft.of(given)
    inner = draft.owner["limits"]
    assert isinstance(inner, dict)
    inner["seconds"] = 6
    assert given == {"limits": {"seconds": 5}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"playbook": []}, "playbook"),
        ({"playbook": {"schema": "ace/2", "next_id": 1, "sections": {}}}, "schema"),
        ({"playbook": {"schema": "ace/1", "next_id": 0, "sections": {}}}, "next_id"),
        (itemised(a=[{"id": "b1"}]), "sections.a.0.text"),
        (itemised(a=[{"id": "1b", "text": "x"}]), "sections.a.0.id"),
        (itemised(a=[{"id": "b1", "text": "x", "colour": 1}]), "colour"),
        (itemised(a=[{"id": "b1", "text": "x"}], b=[{"id": "b1", "text": "y"}]), "twice"),
    ],
)
def test_a_malformed_playbook_is_named(content: JsonObject, words: str) -> None:
    with pytest.raises(InvalidContent, match="the content's playbook") as caught:
        Draft.of(content)
    assert words in caught.value.detail


def test_imported_ids_are_not_given_again() -> None:
    draft = Draft.of(
        {
            "playbook": {
                "schema": "ace/1",
                "next_id": 1,
                "sections": {"a": [{"id": "b1", "text": "x"}, {"id": "vc-7", "text": "y"}]},
            }
        }
    )
    assert (draft.fresh_id(), draft.fresh_id()) == ("b2", "b3")


def test_two_bullets_of_one_id_are_refused() -> None:
    draft = Draft.of(itemised(a=[{"id": "b1", "text": "x"}]))
    with pytest.raises(Refused, match="b1"):
        draft.append("b", draft.place("b1").bullet)


def test_texts_are_compared_without_case_space_and_final_stop() -> None:
    assert normalised(" Check\n twice. ") == normalised("check TWICE")
