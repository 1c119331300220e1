from __future__ import annotations

from typing import Any

import orjson
import pytest

from agentcore.llm_gateway.dialects.messages_events import MessageEvents
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import ChatCall, TokenUsage

CALL = ChatCall("m", {"stop_sequences": ["END"]}, dialect="messages", stream=True)


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": "theirs", "choices": [choice]}


def calls(
    index: int | None, call_id: str | None, name: str | None, arguments: Any
) -> dict[str, Any]:
    call: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    if index is not None:
        call["index"] = index
    if call_id is not None:
        call["id"] = call_id
    return chunk(tool_calls=[call])


def told(*chunks: dict[str, Any], usage: TokenUsage | None = None) -> list[dict[str, Any]]:
    events = MessageEvents(CALL, "p")
    out = b"".join(map(events.feed, chunks)) + events.end(usage)
    documents = []
    for event in out.decode().strip().split("\n\n"):
        name, data = event.split("\n")
        document = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {document['type']}"
        documents.append(document)
    return documents


def blocks(*chunks: dict[str, Any]) -> list[Any]:
    """What a caller that adds up the deltas has in the end; each block is told before the next."""
    content: list[Any] = []
    is_open = False
    for event in told(*chunks):
        kind = event["type"]
        if kind == "content_block_start":
            assert not is_open
            assert event["index"] == len(content)
            content.append({**event["content_block"]})
            is_open = True
        elif kind == "content_block_delta":
            assert is_open
            assert event["index"] == len(content) - 1
            _add(content[-1], event["delta"])
        elif kind == "content_block_stop":
            assert is_open
            assert event["index"] == len(content) - 1
            is_open = False
    assert not is_open
    for block in content:
        if "json" in block:
            block["input"] = orjson.loads(block.pop("json"))
    return content


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    for member in ("text", "thinking", "signature"):
        if member in delta:
            block[member] += delta[member]
    if "partial_json" in delta:
        block["json"] = block.get("json", "") + delta["partial_json"]


def test_the_events_of_a_text() -> None:
    usage = TokenUsage(30, 5, 35, cached_tokens=10)
    parts = [chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo")]
    assert told(*parts, chunk("stop"), {"choices": []}, usage=usage) == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "theirs",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 0, "output_tokens": 0},
            },
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "Hel"},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "lo"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None},
            "usage": {
                "input_tokens": 20,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 10,
                "output_tokens": 5,
            },
        },
        {"type": "message_stop"},
    ]


def test_thoughts_words_and_calls() -> None:
    assert blocks(
        chunk(reasoning_content="H"),
        chunk(reasoning="m."),
        chunk(content="Let me see."),
        calls(0, "c1", "f", ""),
        calls(0, None, None, '{"a":'),
        calls(0, None, None, "1}"),
        calls(1, "c2", "g", "{}"),
        chunk("tool_calls"),
    ) == [
        {"type": "thinking", "thinking": "Hm.", "signature": "agentcore"},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
    ]


@pytest.mark.parametrize(
    "chunks",
    [
        [calls(0, "c1", "f", '{"a":1}'), calls(0, "c2", "f", '{"a":2}')],
        [calls(None, "c1", "f", '{"a":1}'), calls(None, "c2", "f", '{"a":2}')],
        [calls(0, "c1", "f", '{"a"'), calls(0, "c1", None, ":1}"), calls(1, "c2", "f", '{"a":2}')],
        [calls(0, "c1", "f", {"a": 1}), calls(1, "c2", "f", {"a": 2})],
        [
            chunk(
                tool_calls=[
                    {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a":1}'}},
                    {"index": 1, "id": "c2", "function": {"name": "f", "arguments": '{"a":2}'}},
                ]
            )
        ],
    ],
    ids=["one number for all", "no numbers", "ids repeated", "parsed", "at once"],
)
def test_however_servers_number_their_calls(chunks: list[dict[str, Any]]) -> None:
    made = blocks(*chunks)
    assert [(block["id"], block["input"]) for block in made] == [("c1", {"a": 1}), ("c2", {"a": 2})]


def test_a_call_without_id_or_arguments() -> None:
    assert blocks(calls(0, None, "f", None)) == [
        {"type": "tool_use", "id": "toolu_msg_1_0", "name": "f", "input": {}}
    ]


def test_a_call_may_be_left_once_only() -> None:
    with pytest.raises(UpstreamMalformed, match="went back"):
        told(calls(0, "c1", "f", "{"), calls(1, "c2", "g", "{}"), calls(0, None, None, "}"))


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([chunk("length", content="a")], "max_tokens"),
        ([calls(0, "c1", "f", "{}"), chunk("stop")], "tool_use"),
        ([chunk("content_filter")], "refusal"),
    ],
)
def test_why_it_stopped(chunks: list[dict[str, Any]], reason: str) -> None:
    (turn,) = (event for event in told(*chunks) if event["type"] == "message_delta")
    assert turn["delta"]["stop_reason"] == reason
    assert turn["usage"] == {"input_tokens": 0, "output_tokens": 0}


def test_a_refusal_is_told_as_it_comes_and_in_the_end() -> None:
    events = told(chunk(refusal="Not "), chunk(refusal="this."), chunk("content_filter"))
    said = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert said == ["Not ", "this."]
    assert events[-2]["delta"]["stop_details"]["explanation"] == "Not this."


def test_the_sequence_that_stopped_it() -> None:
    last = chunk("stop")
    last["choices"][0]["stop_reason"] = "END"
    *_, turn, _ = told(chunk(content="a"), last)
    assert turn["delta"]["stop_sequence"] == "END"


def test_other_choices_are_not_told() -> None:
    other = chunk(content="x")
    other["choices"][0]["index"] = 1
    assert blocks(other, chunk(content="a")) == [{"type": "text", "text": "a"}]
