from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.ace.salvage import deltas_in
from agentcore.kit.jsonvalue import JsonObject
from tests.unit.ace import strategies

A: JsonObject = {
    "changes": {"ops": [{"op": "ADD", "text": 'say "hi", {then} [go]'}]},
    "confidence": 0.9,
}
B: JsonObject = {"changes": {"strategies": ["b"]}, "confidence": 0.8}
GOOD = json.dumps({"deltas": [A, B]})
PRETTY = json.dumps({"deltas": [A, B]}, indent=4)


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"Here you are:\n```json\n{GOOD}\n```\nHope that helps {{really}}.",
        json.dumps({"note": "first", "deltas": [A, B], "more": {"x": [1]}}, indent=2),
        f'<think>draft: {{"deltas": [{{"x": 1}}]}}</think>{GOOD}',
        f'so {{"deltas": [{{"x": 1}}]}} was bad</think>\n{GOOD}',
        f'First try: {{"deltas": [{{"x": 1}}]}}. Better: {GOOD}',
        f'{GOOD}\nIn the format {{"deltas": [...]}} as asked.',
        GOOD.replace("}]}", "},]}").replace("0.9}", "0.9,}"),
        f'{{"deltas": [{json.dumps(A)}, "and", {json.dumps(B)}, 7]}}',
        f'{{"deltas": [{json.dumps(A)} {json.dumps(B)}]}}',
        f'{{"deltas": [{json.dumps(A)}, {{"broken": nope}}, {json.dumps(B)}]}}',
        f'{GOOD} and then {{"deltas": [{{"cut',
        GOOD.replace("deltas", "Deltas"),
        json.dumps([A, B]),
        f"The [two] proposals:\n```json\n{json.dumps([A, B])}\n```",
        f"{json.dumps([{'changes': {}}])} No, rather {json.dumps([A, B])}",
        f"{json.dumps(A)}\n{json.dumps(B)}\n",
        f'{{"deltas": [ // two\n{json.dumps(A)}, /* and */ {json.dumps(B)}]}}',
        GOOD.replace("0.9}", "0.9 /* sure */, // quite\n}"),
        f"```\n{PRETTY}",
        f"### Proposed deltas\n\n{PRETTY}\n\nNote: [weak] evidence, {{see traces}}.",
        f"<output>{GOOD}</output>",
        f'<|channel|>analysis<|message|>{{"deltas": []}}?<|end|><|channel|>final<|message|>{GOOD}',
        f"```json\n{json.dumps(A)}\n```\nand\n```json\n{json.dumps(B)}\n```",
        f"1. {json.dumps(A)}\n2. {json.dumps(B)}",
        json.dumps({"name": "propose", "arguments": {"deltas": [A, B]}}),
        f'{{"deltas": [{json.dumps(A)}, {json.dumps(B)}, ...]}}',
        GOOD[:-2] + "}",
        GOOD + "}",
        "\ufeff" + PRETTY.replace("\n", "\r\n"),
        f'As in {{"deltas": [{{"changes": {{"ops": [...]}}, "confidence": 0.0}}]}}:\n{GOOD}',
        GOOD.replace('"deltas"', "'deltas'"),
        GOOD.replace('"deltas"', "deltas"),
        GOOD.replace('"deltas"', "\u201cdeltas\u201d"),
    ],
)
def test_what_models_really_answer_is_read(answer: str) -> None:
    assert deltas_in(answer) == [A, B]


@pytest.mark.parametrize("answer", ['{"deltas": %s}', "%s", "[%s", "[%s, {", "only this: [%s]."])
def test_a_single_proposal_needs_no_list(answer: str) -> None:
    assert deltas_in(answer % json.dumps(A)) == [A]


def test_wrong_escapes_and_literals_of_another_language_are_read() -> None:
    answer = r"""{"deltas": [{"reasoning": "match \d+ and \\d, don\'t \u0041 \uZZ None", "a": None,
        "b": [True, False, NaN], "c": "x"}]}"""
    (found,) = deltas_in(answer) or []
    assert found["reasoning"] == r"match \d+ and \d, don't A \uZZ None"
    assert (found["a"], found["b"], found["c"]) == (None, [True, False, None], "x")


def test_raw_line_breaks_in_strings_are_read() -> None:
    answer = '{"deltas": [{"reasoning": "one\ntwo\tthree", "confidence": 1}]}'
    assert deltas_in(answer) == [{"reasoning": "one\ntwo\tthree", "confidence": 1}]


def test_commas_in_strings_stay() -> None:
    answer = '{"deltas": [{"reasoning": "a ,] b ,} c", "confidence": 1,},]}'
    assert deltas_in(answer) == [{"reasoning": "a ,] b ,} c", "confidence": 1}]


@pytest.mark.parametrize("length", range(len('{"deltas": ['), len(GOOD)))
def test_of_a_cut_answer_the_complete_items_survive(length: int) -> None:
    found = deltas_in(GOOD[:length])
    complete = len('{"deltas": [') + len(json.dumps(A))
    assert found in ([], [A], [A, B])
    assert (found == []) == (length < complete)


@pytest.mark.parametrize(
    "answer",
    ["", "I cannot help.", "{}", "[1, 2]", '<think>{"deltas": [{"a": 1}]}', '{"delta": []}'],
)
def test_an_answer_without_deltas_is_none(answer: str) -> None:
    assert deltas_in(answer) is None


@pytest.mark.parametrize("answer", [repr({"deltas": [A, B]}), json.dumps(GOOD)])
def test_neither_pythons_notation_nor_a_text_within_a_text_is_read(answer: str) -> None:
    assert not deltas_in(answer)


def test_proposing_nothing_is_an_answer() -> None:
    assert deltas_in('{"deltas": []}') == []


@strategies.unhurried
@given(st.text(st.sampled_from('{}[]",:\\ \ndelts"0a<think>/'), max_size=300))
def test_no_answer_breaks_the_reader(answer: str) -> None:
    found = deltas_in(f'{answer}{{"deltas": [{answer}')
    assert found is None or all(isinstance(item, dict) for item in found)


def test_a_long_hostile_answer_is_read_quickly() -> None:
    deltas_in('{"deltas": [' * 5000)
    deltas_in('{"deltas": [{' + "{" * 60_000)
    for hostile in ("{", "[", "[{", "{}", '{"a":', "[[]", "//", '\\"', '"deltas":{'):
        deltas_in(hostile * (20_000 // len(hostile)))
