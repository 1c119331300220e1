from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.dialects.responses_answer import (
    annotation,
    response_of,
    usage_document,
)
from agentcore.llm_gateway.dialects.responses_input import messages_of
from agentcore.llm_gateway.models import ChatCall, TokenUsage

CALL = ChatCall("m", {"model": "m", "input": "Hi"}, dialect="responses", trace_id="t")
TOOL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def completion(message: dict[str, Any], finish: Any = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish, **more}
    return {"id": "chatcmpl-1", "created": 7, "model": "theirs", "choices": [choice]}


def answered(message: dict[str, Any], finish: Any = "stop", **more: Any) -> Any:
    return response_of(completion(message, finish, **more), CALL)


@pytest.mark.parametrize(
    ("message", "kinds"),
    [
        ({"content": "Yes"}, ["message"]),
        ({"content": ""}, ["message"]),
        ({"content": None, "refusal": "No"}, ["message"]),
        ({"content": None, "tool_calls": [TOOL, TOOL]}, ["function_call", "function_call"]),
        ({"content": "", "tool_calls": [TOOL]}, ["function_call"]),
        ({"content": "Yes", "tool_calls": [TOOL]}, ["message", "function_call"]),
        ({"content": "Yes", "reasoning": "Hm"}, ["reasoning", "message"]),
        ({"content": None, "reasoning_content": "Hm"}, ["reasoning"]),
        ({"content": None, "thinking_blocks": [{"type": "redacted_thinking"}]}, ["reasoning"]),
    ],
)
def test_a_message_becomes_items(message: dict[str, Any], kinds: list[str]) -> None:
    response = answered(message)
    assert [item["type"] for item in response["output"]] == kinds
    assert len({item["id"] for item in response["output"]}) == len(kinds)
    assert response["status"] == "completed"


def test_words_and_a_refusal_are_parts_of_one_message() -> None:
    (item,) = answered({"content": "Well", "refusal": "No"})["output"]
    assert item["content"] == [
        {"type": "output_text", "text": "Well", "annotations": [], "logprobs": []},
        {"type": "refusal", "refusal": "No"},
    ]


def test_parts_of_text_are_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "thinking"}, {"type": "text", "text": "b"}]
    (item,) = answered({"content": parts})["output"]
    assert item["content"][0]["text"] == "ab"


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("a_new_one", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_why_it_ended(finish: str, status: str, reason: str | None) -> None:
    response = answered({"content": "Y", "reasoning": "Hm"}, finish)
    assert response["status"] == status
    assert response["incomplete_details"] == (reason and {"reason": reason})
    assert [item["status"] for item in response["output"]] == ["completed", status]


def test_a_call_that_was_cut_is_the_incomplete_item() -> None:
    response = answered({"content": "Y", "tool_calls": [TOOL]}, "length")
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


def test_what_was_asked_is_told_again() -> None:
    asked: dict[str, Any] = {
        "model": "m",
        "input": "Hi",
        "instructions": "Be brief",
        "temperature": 0.5,
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "metadata": {"a": "b"},
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_object"}},
        "max_output_tokens": 9,
    }
    response = response_of(completion({"content": "Y"}), CALL._replace(body=asked))
    told = {**asked, "model": "theirs", "reasoning": {"effort": "low", "summary": None}}
    del told["input"]
    assert {name: response[name] for name in told} == told
    assert response["store"] is False
    assert response["created_at"] == 7


def test_its_id_is_its_own_and_stable() -> None:
    first = answered({"content": "a"})["id"]
    again = answered({"content": "b"})["id"]
    other = response_of(completion({"content": "a"}), CALL._replace(trace_id="u"))["id"]
    assert first == again != other
    assert first.startswith("resp_")


def test_log_probabilities_have_no_null() -> None:
    token = {"token": "Y", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "N"}]}
    response = answered({"content": "Y"}, logprobs={"content": [token]})
    assert response["output"][0]["content"][0]["logprobs"] == [
        {**token, "bytes": [], "top_logprobs": [{"token": "N", "bytes": []}]}
    ]


def test_citations_are_flattened() -> None:
    cited = {"url": "http://x", "title": "X", "start_index": 0, "end_index": 1}
    note: Any = {"type": "url_citation", "url_citation": cited}
    assert annotation(note) == {"type": "url_citation", **cited}
    assert annotation("strange") == "strange"
    (item,) = answered({"content": "Y", "annotations": [note]})["output"]
    assert item["content"][0]["annotations"] == [{"type": "url_citation", **cited}]


def test_usage() -> None:
    assert usage_document(TokenUsage(30, 9, 39, 20, 5, 4)) == {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 4},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 39,
    }
    assert answered({"content": "Y"})["usage"] is None


def test_nothing_was_chosen() -> None:
    response: Any = response_of({"id": "x", "choices": []}, CALL)
    assert [item["type"] for item in response["output"]] == ["message"]


TEXTS = st.text(min_size=1, max_size=20)
CALLS = st.builds(
    lambda name, function, arguments: {
        "id": name,
        "type": "function",
        "function": {"name": function, "arguments": arguments},
    },
    TEXTS,
    TEXTS,
    st.text(max_size=20),
)
BLOCKS = st.lists(st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=2), min_size=1, max_size=2)
MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": TEXTS},
    optional={
        "reasoning_content": TEXTS,
        "tool_calls": st.lists(CALLS, min_size=1, max_size=3),
        "thinking_blocks": BLOCKS,
    },
)


@given(MESSAGES)
def test_an_answer_sent_back_is_the_message_it_was(message: dict[str, Any]) -> None:
    assert messages_of(None, answered(message)["output"]) == [message]


def test_an_end_that_nobody_knows_is_a_good_one() -> None:
    assert answered({"content": "Yes"}, {"type": "text"})["status"] == "completed"
