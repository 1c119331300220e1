from __future__ import annotations

from typing import Any

import pytest

from agentcore.llm_gateway.dialects.messages_answer import message_of, usage_document
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import ChatCall, TokenUsage

CALL = ChatCall("m", {"stop_sequences": ["END"]}, dialect="messages", trace_id="t1")
USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 5,
    "total_tokens": 35,
    "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 7},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def answered(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": "theirs", "choices": [choice], "usage": USAGE}


def told(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return message_of(answered(finish, **message), CALL, "p")


def called(arguments: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": arguments},
        **more,
    }


def test_an_answer() -> None:
    assert told(content="Hello") == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "theirs",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": 13,
            "cache_creation_input_tokens": 7,
            "cache_read_input_tokens": 10,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 4},
        },
    }


def test_thoughts_words_and_calls_in_their_order() -> None:
    message = told(
        "tool_calls",
        content=[{"type": "text", "text": "Let me see."}],
        reasoning="Hm.",
        tool_calls=[called('{"a": 1}', extra_content={"x": 1}), called("", id=None)],
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "agentcore"},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}, "extra_content": {"x": 1}},
        {"type": "tool_use", "id": "toolu_msg_1_1", "name": "f", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("content_filter", "refusal"),
        ("of_tomorrow", "end_turn"),
        (None, "end_turn"),
    ],
)
def test_why_it_stopped(finish: str | None, reason: str) -> None:
    assert told(finish, content="a")["stop_reason"] == reason


def test_a_call_is_a_reason_to_stop_whatever_the_server_says() -> None:
    assert told("stop", tool_calls=[called("{}")])["stop_reason"] == "tool_use"


def test_the_sequence_that_stopped_it() -> None:
    document = answered(content="a")
    document["choices"][0]["stop_reason"] = "END"
    message = message_of(document, CALL, "p")
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")
    document["choices"][0]["stop_reason"] = 151_645
    assert message_of(document, CALL, "p")["stop_reason"] == "end_turn"


def test_a_refusal() -> None:
    message = told("content_filter", content=None, refusal="Not this.")
    assert message["stop_details"] == {
        "type": "refusal",
        "category": None,
        "explanation": "Not this.",
    }
    assert message["content"] == [{"type": "text", "text": "Not this."}]


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "7", True])
def test_arguments_that_no_block_can_hold(arguments: Any) -> None:
    with pytest.raises(UpstreamMalformed, match="'f' with arguments"):
        told("tool_calls", tool_calls=[called(arguments)])


def test_a_call_that_was_cut_short_is_not_told() -> None:
    message = told("length", content="a", tool_calls=[called('{"a": ')])
    assert [block["type"] for block in message["content"]] == ["text"]
    assert message["stop_reason"] == "max_tokens"


def test_arguments_that_came_parsed() -> None:
    (block,) = told("tool_calls", tool_calls=[called({"a": 1})])["content"]
    assert block["input"] == {"a": 1}


def test_an_answer_of_nothing() -> None:
    message = message_of({"choices": [], "service_tier": "default"}, CALL, "p")
    assert (message["id"], message["model"], message["content"]) == ("msg_t1", "m", [])
    assert message["usage"] == {"input_tokens": 0, "output_tokens": 0, "service_tier": "standard"}


def test_tokens_of_the_cache_are_no_part_of_the_input() -> None:
    told = usage_document(TokenUsage(100, 5, 105, cached_tokens=60, cache_write_tokens=30))
    assert told["input_tokens"] == 10
    assert "output_tokens_details" not in told


def test_arguments_too_deep_to_be_written_are_malformed() -> None:
    deep = called('{"a":' * 300 + "1" + "}" * 300)
    with pytest.raises(UpstreamMalformed, match="arguments that are no JSON object"):
        told("tool_calls", content=None, tool_calls=[deep])
