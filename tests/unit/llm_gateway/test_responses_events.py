from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.dialects.responses_answer import response_of
from agentcore.llm_gateway.dialects.responses_events import ResponseEvents
from agentcore.llm_gateway.models import ChatCall, TokenUsage

BODY: dict[str, Any] = {"model": "m", "input": "Hi", "instructions": "Be brief"}
CALL = ChatCall("m", BODY, dialect="responses", stream=True, trace_id="t")
USAGE = TokenUsage(12, 3, 15)
COUNTED = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


def chunk(delta: dict[str, Any], finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return {"id": "chatcmpl-1", "created": 7, "model": "theirs", "choices": [choice]}


def told(chunks: list[dict[str, Any]], usage: TokenUsage | None = USAGE) -> list[dict[str, Any]]:
    """The events, checked for what is true of all of them."""
    events = ResponseEvents(CALL)
    raw = b"".join(events.feed(each) for each in chunks) + events.end(usage)
    found = []
    for number, block in enumerate(raw.decode().removesuffix("\n\n").split("\n\n")):
        name, data = block.split("\n")
        event = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        found.append(event)
    return found


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def call(index: Any, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **more}]}


def test_words() -> None:
    events = told(
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hel"}),
            chunk({"content": "lo"}),
            chunk({}, "stop"),
            {"choices": []},
        ]
    )
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[0]["response"]["status"] == "in_progress"
    assert events[0]["response"]["usage"] is None
    last = events[-1]["response"]
    assert last["id"] == events[0]["response"]["id"]
    assert last["output"][0]["content"][0]["text"] == "Hello"
    assert last["usage"]["total_tokens"] == 15


def test_thoughts_words_and_calls_follow_each_other() -> None:
    function = {"name": "f", "arguments": ""}
    events = told(
        [
            chunk({"reasoning": "Hm"}),
            chunk({"content": "Yes"}),
            chunk(call(0, id="c0", function=function)),
            chunk(call(0, function={"arguments": "{}"})),
            chunk(call(1, id="c1", function={"name": "g", "arguments": "[]"})),
            chunk({}, "tool_calls"),
        ]
    )
    assert kinds(events)[2:] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    assert [item["arguments"] for item in output[2:]] == ["{}", "[]"]


def test_calls_under_one_number_are_told_apart_by_their_ids() -> None:
    events = told(
        [
            chunk(call(0, id="c0", function={"name": "f", "arguments": "{}"})),
            chunk(call(0, id="c1", function={"name": "g", "arguments": "{"})),
            chunk(call(0, id="c1", function={"arguments": "}"})),
            chunk({}, "tool_calls"),
        ]
    )
    output = events[-1]["response"]["output"]
    assert [(item["call_id"], item["arguments"]) for item in output] == [("c0", "{}"), ("c1", "{}")]


def test_a_call_without_an_id_gets_one_and_a_name_may_come_late() -> None:
    events = told([chunk(call(0)), chunk(call(0, function={"name": "f"})), chunk({}, "stop")])
    (item,) = events[-1]["response"]["output"]
    assert item["call_id"].startswith("call_")
    assert item["name"] == "f"


def test_thoughts_after_words_are_an_item_of_their_own() -> None:
    events = told(
        [chunk({"content": "a"}), chunk({"reasoning": "b"}), chunk({"content": "c"}, "stop")]
    )
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "reasoning", "message"]


def test_a_refusal_is_another_part() -> None:
    events = told([chunk({"content": "a"}), chunk({"refusal": "No"}), chunk({}, "stop")])
    (item,) = events[-1]["response"]["output"]
    assert [part["type"] for part in item["content"]] == ["output_text", "refusal"]
    assert "refusal.done" in kinds(events)


def test_signed_thoughts_come_back_sealed() -> None:
    block = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    events = told(
        [
            chunk({"reasoning_content": "Hm"}),
            chunk({"thinking_blocks": [{"index": 0, **block}]}),
            chunk({"content": "a"}, "stop"),
        ]
    )
    message = {"content": "a", "reasoning_content": "Hm", "thinking_blocks": [block]}
    assert events[-1]["response"]["output"] == plain(message)["output"]


def test_citations_and_log_probabilities() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "http://x"}}
    token = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}
    events = told(
        [
            chunk({"content": "a"}, logprobs={"content": [token]}),
            chunk({"annotations": [note]}),
            chunk({}, "stop"),
        ]
    )
    (item,) = events[-1]["response"]["output"]
    assert item["content"][0]["logprobs"] == [token]
    assert item["content"][0]["annotations"] == [{"type": "url_citation", "url": "http://x"}]
    assert "output_text.annotation.added" in kinds(events)
    deltas = [event for event in events if event["type"].endswith("output_text.delta")]
    assert [event["logprobs"] for event in deltas] == [[token]]


def test_what_was_cut_short_is_incomplete() -> None:
    events = told([chunk({"reasoning": "Hm"}), chunk({"content": "a"}), chunk({}, "length")])
    assert kinds(events)[-1] == "incomplete"
    last = events[-1]["response"]
    assert last["status"] == "incomplete"
    assert last["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in last["output"]] == ["completed", "incomplete"]


def test_an_empty_answer_is_one_too() -> None:
    events = told([chunk({"role": "assistant"}), chunk({}, "stop")], usage=None)
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == ""
    assert events[-1]["response"]["usage"] is None


def test_another_choice_is_not_mixed_in() -> None:
    other = {"index": 1, "delta": {"content": "b"}, "finish_reason": None}
    events = told([chunk({"content": "a"}), {"choices": [other]}, chunk({}, "stop")])
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "a"


def plain(message: dict[str, Any], finish: str = "stop") -> Any:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    document: dict[str, Any] = {
        "id": "chatcmpl-1",
        "created": 7,
        "model": "theirs",
        "choices": [choice],
        "usage": COUNTED,
    }
    return response_of(document, CALL)


PIECES = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4)
SPOKEN = st.fixed_dictionaries(
    {},
    optional={
        "reasoning_content": PIECES,
        "content": PIECES,
        "refusal": PIECES,
        "tool_calls": st.lists(PIECES, min_size=1, max_size=3),
    },
)


@given(SPOKEN, st.sampled_from(["stop", "tool_calls", "length", "content_filter"]))
def test_a_stream_ends_as_the_plain_answer(spoken: dict[str, Any], finish: str) -> None:
    calls = spoken.pop("tool_calls", [])
    chunks = [
        chunk({name: piece})
        for name in ("reasoning_content", "content", "refusal")
        for piece in spoken.get(name, ())
    ]
    message: dict[str, Any] = {name: "".join(pieces) for name, pieces in spoken.items()}
    for index, pieces in enumerate(calls):
        begun = {"id": f"c{index}", "type": "function", "function": {"name": "f"}}
        chunks.append(chunk(call(index, **begun)))
        chunks += [chunk(call(index, function={"arguments": piece})) for piece in pieces]
        whole = {**begun, "function": {"name": "f", "arguments": "".join(pieces)}}
        message.setdefault("tool_calls", []).append(whole)
    events = told([*chunks, chunk({}, finish)])
    assert events[-1]["response"] == plain(message, finish)
    assert added_up(events) == events[-1]["response"]["output"]


def added_up(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a client has that only listens to parts, checked against what it is told at the end."""
    items: dict[int, dict[str, Any]] = {}
    texts: dict[tuple[int, int | None], str] = {}
    for event in events:
        kind = event["type"].removeprefix("response.")
        place = (event.get("output_index", -1), event.get("content_index"))
        if kind == "output_item.added":
            assert place[0] == len(items)
            items[place[0]] = event["item"]
        elif kind.endswith(".delta"):
            assert event["item_id"] == items[place[0]]["id"]
            texts[place] = texts.get(place, "") + event["delta"]
        elif kind == "content_part.done":
            part = event["part"]
            assert part.get("text", part.get("refusal")) == texts[place]
        elif kind == "function_call_arguments.done":
            assert event["arguments"] == texts.get(place, "")
        elif kind == "output_item.done":
            assert event["item"]["id"] == items[place[0]]["id"]
            items[place[0]] = event["item"]
    return list(items.values())


def test_numbers_and_ends_may_be_anything() -> None:
    named = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    events = told([chunk(call({"at": []}, **named)), chunk({}, {"type": "text"})])
    assert events[-1]["response"]["status"] == "completed"
    assert [item["call_id"] for item in events[-1]["response"]["output"]] == ["c1"]
