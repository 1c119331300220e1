from __future__ import annotations

from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from agentcore.kit.jsonvalue import JsonObject, objects_of
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.replies import chunks_of
from agentcore.llm_gateway.wires.anthropic_answer import (
    Chunks,
    chat_completion,
    usage_document,
)
from tests.fakes.anthropic_speech import message, text

USAGE = TokenUsage(30, 5, 35, 10, 4, 7)
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
HIDDEN = {"type": "redacted_thinking", "data": "ZW5j"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1, "b": "ü"}}


def completed(*content: dict[str, Any], **members: Any) -> dict[str, Any]:
    document = chat_completion({**message(*content), **members}, USAGE, 1_800_000_000)
    ChatCompletion.model_validate(document, strict=True)
    return document


def said(*content: dict[str, Any], **members: Any) -> dict[str, Any]:
    told: dict[str, Any] = completed(*content, **members)["choices"][0]["message"]
    return told


def test_an_answer() -> None:
    assert completed(text("Hello "), text("there!")) == {
        "id": "msg_01",
        "object": "chat.completion",
        "created": 1_800_000_000,
        "model": "claude-sonnet-5",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello there!", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": 5,
            "total_tokens": 35,
            "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 7},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
    }


def test_thinking_is_told_twice() -> None:
    told = said(THOUGHT, HIDDEN, text("42"))
    assert told["reasoning_content"] == "Hm."
    assert told["thinking_blocks"] == [THOUGHT, HIDDEN]
    assert told["content"] == "42"


def test_thinking_that_is_kept_back_can_still_be_sent_back() -> None:
    told = said({**THOUGHT, "thinking": ""}, text("42"))
    assert "reasoning_content" not in told
    assert told["thinking_blocks"] == [{**THOUGHT, "thinking": ""}]


def test_calls() -> None:
    told = said(CALL, {**CALL, "id": "toolu_2", "input": {}}, stop_reason="tool_use")
    assert told["content"] is None
    assert [call["id"] for call in told["tool_calls"]] == ["toolu_1", "toolu_2"]
    arguments = [call["function"]["arguments"] for call in told["tool_calls"]]
    assert list(map(orjson.loads, arguments)) == [{"a": 1, "b": "ü"}, {}]


def test_a_refusal_says_why() -> None:
    stopped = {"type": "refusal", "category": "cyber", "explanation": "Not this."}
    document = completed(stop_reason="refusal", stop_details=stopped)
    (choice,) = document["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": "Not this."}


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("of_tomorrow", "stop"),
    ],
)
def test_why_it_ended(stop: str, finish: str) -> None:
    (choice,) = completed(text("a"), stop_reason=stop)["choices"]
    assert choice["finish_reason"] == finish
    plain = stop in {"end_turn", "stop_sequence", "max_tokens", "tool_use"}
    assert choice.get("native_finish_reason") == (None if plain else stop)


def test_the_tier() -> None:
    counts = {"input_tokens": 1, "output_tokens": 1}
    assert completed(usage={**counts, "service_tier": "standard"})["service_tier"] == "default"
    assert "service_tier" not in completed(usage={**counts, "service_tier": "batch"})


class Stream:
    """Chunks as a caller adds them up."""

    def __init__(self) -> None:
        self.chunks = Chunks(1_800_000_000)
        self.parts = [self.chunks.begin(message(stop=None))]

    def block(self, block: dict[str, Any], *deltas: dict[str, Any]) -> Stream:
        self.parts.append(self.chunks.block(block))
        self.parts += [self.chunks.part(delta) for delta in deltas]
        self.parts.append(self.chunks.block_end())
        return self

    @property
    def deltas(self) -> list[dict[str, Any]]:
        told = list(chunks_of(b"\n\n".join(self.parts)))
        for chunk in told:
            ChatCompletionChunk.model_validate(chunk, strict=True)
        choices: list[Any] = [chunk["choices"] for chunk in told]
        return [choice["delta"] for (choice,) in choices]


def test_a_stream_of_text() -> None:
    stream = Stream().block(
        {"type": "text", "text": "H"},
        {"type": "text_delta", "text": "i"},
        {"type": "text_delta", "text": ""},
        {"type": "citations_delta", "citation": {}},
    )
    assert stream.deltas == [
        {"role": "assistant", "content": ""},
        {"content": "H"},
        {"content": "i"},
    ]


def test_a_stream_of_thoughts() -> None:
    stream = Stream().block(
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "H"},
        {"type": "thinking_delta", "thinking": "m."},
        {"type": "signature_delta", "signature": "c2"},
        {"type": "signature_delta", "signature": "ln"},
    )
    stream.block(HIDDEN).block({"type": "thinking"}, {"type": "signature_delta", "signature": "s"})
    assert stream.deltas[1:] == [
        {"reasoning_content": "H"},
        {"reasoning_content": "m."},
        {"thinking_blocks": [{"index": 0, **THOUGHT}]},
        {"thinking_blocks": [{"index": 1, **HIDDEN}]},
        {"thinking_blocks": [{"index": 2, "type": "thinking", "thinking": "", "signature": "s"}]},
    ]


def test_a_stream_of_calls() -> None:
    begun = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    stream = Stream().block(
        begun,
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"a":'},
        {"type": "input_json_delta", "partial_json": "1}"},
    )
    stream.block({**begun, "id": "toolu_2"}, {"type": "input_json_delta", "partial_json": ""})
    stream.block({**begun, "id": "toolu_3", "input": {"b": 2}})
    calls = [call for delta in stream.deltas for call in delta.get("tool_calls", ())]
    assert calls[0] == {
        "index": 0,
        "id": "toolu_1",
        "type": "function",
        "function": {"name": "f", "arguments": ""},
    }
    arguments = ["", "", ""]
    for call in calls:
        arguments[call["index"]] += call["function"]["arguments"]
    assert arguments == ['{"a":1}', "{}", '{"b":2}']
    ids = [call["id"] for call in calls if "id" in call]
    assert ids == ["toolu_1", "toolu_2", "toolu_3"]


def test_blocks_of_tools_that_ran_elsewhere_are_not_told() -> None:
    stream = Stream().block(
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "input_json_delta", "partial_json": "{}"},
    )
    assert len(stream.deltas) == 1


def test_the_end() -> None:
    chunks = Stream().chunks
    assert chunks.turn({"stop_reason": None}) == b""
    refused: JsonObject = {"stop_reason": "refusal", "stop_details": {"explanation": "No."}}
    (told,) = chunks_of(chunks.turn(refused))
    (choice,) = objects_of(told["choices"])
    assert (choice["delta"], choice["finish_reason"]) == ({"refusal": "No."}, "content_filter")
    assert choice["native_finish_reason"] == "refusal"
    assert chunks.end(None) == b"data: [DONE]"
    counted = chunks.end(USAGE)
    assert counted.endswith(b"}\n\ndata: [DONE]")
    (last,) = chunks_of(counted)
    assert (last["choices"], last["usage"]) == ([], usage_document(USAGE))
    ChatCompletionChunk.model_validate(last, strict=True)


def test_arguments_too_deep_to_be_written_are_malformed() -> None:
    deep: JsonObject = {}
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(UpstreamMalformed, match="nested too deep"):
        said({**CALL, "input": deep})
