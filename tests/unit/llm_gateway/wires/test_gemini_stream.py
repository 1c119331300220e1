from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.llm_gateway.errors import (
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.replies import chunks_of, text_of
from agentcore.llm_gateway.wires.gemini_stream import GeminiScanner
from tests.fakes.clock import ManualClock
from tests.fakes.gemini_speech import answer, candidate
from tests.fakes.llm_upstream import event

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)


def scanner(*, wants_usage: bool = False, n: Any = 1) -> GeminiScanner:
    call = ChatCall("m", {"n": n}, stream=True, wants_usage=wants_usage)
    return GeminiScanner("gemini", call, ManualClock())


def calls(*named: str) -> dict[str, Any]:
    parts = [{"functionCall": {"name": name, "args": {}}} for name in named]
    return {"content": {"role": "model", "parts": parts}, "index": 0}


WHOLE = (
    b": hello\n\n"
    + event(answer(candidate("Hel"), candidate("Sal")))
    + event(answer(candidate("lo \u00e9"), {**candidate("ut", finish="STOP"), "index": 1}))
    + event(answer(calls("f", "g")))
    + event(answer(candidate(finish="STOP"), usageMetadata={"promptTokenCount": 4}))
)


def choices(block: bytes) -> list[Any]:
    found: list[Any] = [chunk["choices"] for chunk in chunks_of(block)]
    return [choice for chunk in found for choice in chunk]


def test_chunks_look_like_openais() -> None:
    reading = scanner()
    first = reading.feed(event(answer(candidate("Hi"))))
    assert [*chunks_of(first)] == [
        {
            "id": "chatcmpl-an-answer",
            "object": "chat.completion.chunk",
            "created": 1767225600,
            "model": "gemini-3.5-flash",
            "choices": [
                {
                    "index": 0,
                    "delta": {"role": "assistant", "content": "Hi"},
                    "finish_reason": None,
                }
            ],
        }
    ]
    assert reading.committed
    assert not reading.done
    assert reading.feed(event(answer(candidate(finish="STOP")))) == b""
    assert reading.done
    last = reading.end()
    assert last.endswith(b"\n\ndata: [DONE]\n\n")
    assert choices(last) == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert reading.usage == TokenUsage(12, 3, 15)
    assert reading.failure is None


def test_the_last_count_of_tokens_is_told_to_who_asked() -> None:
    reading = scanner(wants_usage=True)
    reading.feed(event(answer(candidate("a"))))
    reading.feed(event(answer(candidate("b", finish="STOP"), usageMetadata=None)))
    reading.feed(event({"usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 9}}))
    *_, told = chunks_of(reading.end())
    assert told["choices"] == []
    assert told["usage"] == {
        "prompt_tokens": 12,
        "completion_tokens": 9,
        "total_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
    assert reading.usage == TokenUsage(12, 9, 21)


def test_calls_are_counted_over_the_whole_stream() -> None:
    reading = scanner()
    block = reading.feed(event(answer(calls("f", "g"))) + event(answer(calls("h"))))
    block += reading.feed(event(answer(candidate("", finish="STOP")))) + reading.end()
    found = [call for each in choices(block) for call in each["delta"].get("tool_calls", [])]
    assert [(call["index"], call["id"], call["function"]["name"]) for call in found] == [
        (0, "call_an-answer_0_0", "f"),
        (1, "call_an-answer_0_1", "g"),
        (2, "call_an-answer_0_2", "h"),
    ]
    assert choices(block)[-1]["finish_reason"] == "tool_calls"


def test_a_model_that_says_its_end_in_each_event_is_read_to_the_end() -> None:
    reading = scanner()
    block = b"".join(
        reading.feed(event(answer(candidate(word, finish="STOP")))) for word in ("a", "b")
    )
    block += reading.end()
    assert list(text_of(block)) == ["a", "b"]
    assert [choice["finish_reason"] for choice in choices(block)] == [None, None, "stop"]


def test_several_answers_end_one_by_one() -> None:
    reading = scanner(n=2)
    reading.feed(event(answer(candidate("a", finish="STOP"))))
    assert not reading.done
    reading.feed(event(answer({**candidate("b"), "index": 1})))
    assert not reading.whole
    reading.feed(event(answer({**candidate("c", finish="MAX_TOKENS"), "index": 1})))
    assert reading.done
    ends = choices(reading.end())
    assert [(end["index"], end["finish_reason"]) for end in ends] == [(0, "stop"), (1, "length")]


def test_an_answer_that_began_and_has_no_end_is_cut() -> None:
    reading = scanner(n=2)
    reading.feed(event(answer(candidate("a", finish="STOP"), {**candidate("b"), "index": 1})))
    assert reading.end() == b""
    assert isinstance(reading.failure, UpstreamTruncated)


def test_a_question_that_was_blocked_is_answered_with_a_filter() -> None:
    reading = scanner()
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "responseId": "r"}
    assert reading.feed(event(blocked)) == b""
    assert reading.committed
    assert choices(reading.end()) == [
        {
            "index": 0,
            "delta": {},
            "finish_reason": "content_filter",
            "native_finish_reason": "PROHIBITED_CONTENT",
        }
    ]
    assert reading.failure is None


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (event({"error": {"code": 429, "message": "slow"}}), UpstreamRateLimited),
        (b'{"error":{"code":503,"message":"down"}}\n\n', UpstreamUnavailable),
        (b'[{"error":{"code":503,"message":"down"}}]', UpstreamUnavailable),
        (b'[{"a":1}]\n\n', UpstreamMalformed),
        (event(answer(candidate(finish="MALFORMED_FUNCTION_CALL"))), UpstreamMalformed),
    ],
)
@pytest.mark.parametrize("began", [False, True])
def test_what_goes_wrong(tail: bytes, expected: type[UpstreamError], began: bool) -> None:
    reading = scanner()
    if began:
        reading.feed(event(answer(candidate("a"))))
    assert reading.feed(tail) == b""
    assert reading.end() == b""
    assert type(reading.failure) is expected


def test_an_answer_without_a_name_gets_the_same_one_each_time() -> None:
    reply = answer(candidate("a"), responseId=None, modelVersion=None)
    first, again = (next(chunks_of(scanner().feed(event(reply)))) for _ in range(2))
    assert first["id"] == again["id"] != "chatcmpl-"
    assert first["model"] == "m"


@settings(max_examples=60)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_any_split_of_the_bytes_gives_the_same_chunks(cuts: list[int]) -> None:
    def read(*places: int) -> tuple[bytes, TokenUsage | None]:
        reading = scanner(wants_usage=True, n=2)
        edges = [0, *sorted(places), len(WHOLE)]
        out = b"".join(map(reading.feed, map(WHOLE.__getitem__, map(slice, edges, edges[1:]))))
        out += reading.end()
        assert reading.failure is None
        return out, reading.usage

    assert read(*cuts) == read()


@settings(max_examples=40)
@given(
    st.lists(
        JSON
        | st.fixed_dictionaries(
            {
                "candidates": st.lists(
                    st.fixed_dictionaries(
                        {},
                        optional={
                            "index": JSON,
                            "finishReason": JSON | st.just("STOP"),
                            "content": st.fixed_dictionaries({"parts": st.lists(JSON, max_size=2)}),
                            "logprobsResult": JSON,
                        },
                    ),
                    max_size=2,
                ),
                "usageMetadata": JSON,
                "responseId": JSON,
                "promptFeedback": JSON,
            }
        ),
        max_size=4,
    )
)
def test_no_nonsense_breaks_the_reader(documents: list[Any]) -> None:
    reading = scanner()
    block = b"".join(reading.feed(b"data: " + orjson.dumps(each) + b"\n\n") for each in documents)
    end = reading.end()
    assert (reading.failure is None) == end.endswith(b"data: [DONE]\n\n")
    for chunk in chunks_of(block + end):
        assert isinstance(chunk["choices"], list)
