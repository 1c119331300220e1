from __future__ import annotations

import json

from agentcore.simulators.prompt import (
    MAX_FAILED_PARSES,
    Message,
    Prompt,
    bullets,
    json_values,
    objects,
)


def test_bullets_with_an_id_are_rules_wherever_they_stand() -> None:
    text = "Do it.\n- [s-1] first rule\n* [s-2] second rule\n- no rule\n[s-3] no bullet"
    assert bullets(text) == ("first rule", "second rule")


def test_plain_bullets_are_rules_below_a_playbook_heading() -> None:
    text = "- no\n## PLAYBOOK\n### goals\n- win\n- [b-1] x\n# Task\n- no"
    assert bullets(text) == ("win", "x")


def test_counters_of_other_renderers_are_no_part_of_a_rule() -> None:
    assert bullets("- [strat-00001] helpful=3 harmful=0 :: check twice") == ("check twice",)


def test_the_models_own_words_teach_it_nothing() -> None:
    prompt = Prompt((Message("assistant", "- [s-1] mine"), Message("user", "- [s-2] theirs")))
    assert prompt.rules == ("theirs",)
    assert "mine" not in prompt.text


def test_the_question_is_the_last_message_of_others() -> None:
    messages = (Message("user", "a"), Message("user", "b"), Message("assistant", "c"))
    assert Prompt(messages).question == "b"
    assert Prompt(()).question == ""


def test_json_is_found_among_prose_fences_and_broken_json() -> None:
    text = 'See [s-1]: ```json\n{"a": [1, {"b": 2}]}\n``` {"broken": } then [{"c": 3}] {x}'
    assert list(json_values(text)) == [{"a": [1, {"b": 2}]}, [{"c": 3}]]


def test_inner_json_of_a_broken_document_is_still_found() -> None:
    assert list(json_values('{"broken": {"a": 1}, oops}')) == [{"a": 1}]


def test_reading_gives_up_on_a_prompt_of_nothing_but_braces() -> None:
    text = '{"' * (MAX_FAILED_PARSES + 1) + json.dumps({"a": 1})
    assert list(json_values(text)) == []
    assert list(json_values("[" * 100_000)) == []


def test_objects_come_outer_first_and_not_from_any_depth() -> None:
    assert list(objects([{"a": {"b": {}}}])) == [{"a": {"b": {}}}, {"b": {}}, {}]
    deep: list[object] = [{"x": 1}]
    for _ in range(50):
        deep = [deep]
    assert not list(objects(json.loads(json.dumps(deep))))
