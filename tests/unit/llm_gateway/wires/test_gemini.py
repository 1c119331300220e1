"""Requests and answers as a whole; tests/wire/gemini has the recorded exchanges."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.wires.gemini import GeminiWire, resource_of
from agentcore.llm_gateway.wires.gemini_request import READ, RENAMED
from tests.fakes.clock import ManualClock
from tests.fakes.gemini_speech import answer, candidate, whole

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
CALL = ChatCall("m", HELLO)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool", "x"]) | JSON},
        optional={
            "content": JSON | st.lists(st.fixed_dictionaries({"type": st.just("text")})),
            "tool_calls": JSON | st.lists(st.fixed_dictionaries({"function": JSON, "id": JSON})),
            "tool_call_id": JSON,
            "extra_content": JSON,
        },
    ),
    max_size=3,
)


@pytest.fixture
def wire() -> GeminiWire:
    return GeminiWire("gemini", clock=ManualClock())


def test_where_it_asks(wire: GeminiWire) -> None:
    assert wire.path(CALL, "gemini-3.5-flash") == "/models/gemini-3.5-flash:generateContent"
    streamed = wire.path(CALL._replace(stream=True), "gemini-3.5-flash")
    assert streamed == "/models/gemini-3.5-flash:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("model", "resource"),
    [
        ("models/gemini-3.5-flash", "models/gemini-3.5-flash"),
        ("tunedModels/mine", "tunedModels/mine"),
        ("../files?x=1#", "models/..%2Ffiles%3Fx%3D1%23"),
        ("a\r\nHost: b", "models/a%0D%0AHost%3A%20b"),
    ],
)
def test_no_name_of_a_model_leads_elsewhere(model: str, resource: str) -> None:
    assert resource_of(model) == resource


def test_a_request_keeps_the_callers_document_as_it_is(wire: GeminiWire) -> None:
    before = orjson.dumps(HELLO)
    assert orjson.loads(wire.request(CALL, "gemini-3.5-flash")) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}]
    }
    assert orjson.dumps(HELLO) == before


def test_an_answer_is_a_chat_completion(wire: GeminiWire) -> None:
    reply = wire.answer(orjson.dumps(whole("Hello!")), CALL)
    assert orjson.loads(reply.body) == reply.document
    assert reply.document == {
        "id": "chatcmpl-an-answer",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "gemini-3.5-flash",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello!"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 3,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    }
    assert reply.usage == TokenUsage(12, 3, 15)


def test_a_blocked_question_is_an_answer(wire: GeminiWire) -> None:
    raw = orjson.dumps({"promptFeedback": {"blockReason": "SAFETY"}})
    reply: Any = wire.answer(raw, CALL)
    assert reply.document["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None},
            "finish_reason": "content_filter",
            "native_finish_reason": "SAFETY",
        }
    ]
    assert reply.usage is None
    assert reply.document["model"] == "m"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", UpstreamMalformed),
        (b"<html>", UpstreamMalformed),
        (b"[]", UpstreamMalformed),
        (b"{}", UpstreamMalformed),
        (b'{"promptFeedback":{}}', UpstreamMalformed),
        (b'[{"error":{"code":503}}]', UpstreamUnavailable),
        (b'{"error":{"code":429}}', UpstreamRateLimited),
        (orjson.dumps(answer(candidate("Hel"))), UpstreamTruncated),
        (orjson.dumps(answer(candidate(finish="MALFORMED_RESPONSE"))), UpstreamMalformed),
    ],
)
def test_what_is_no_answer(wire: GeminiWire, raw: bytes, expected: type[UpstreamError]) -> None:
    with pytest.raises(expected) as caught:
        wire.answer(raw, CALL)
    assert type(caught.value) is expected


def test_what_is_nested_too_deep_is_the_callers_fault(wire: GeminiWire) -> None:
    schema: dict[str, Any] = {}
    for _ in range(400):
        schema = {"items": schema}
    tools: list[Any] = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    with pytest.raises(InvalidChatRequest, match="too deep"):
        wire.request(CALL._replace(body={**HELLO, "tools": tools}), "gemini-3.5-flash")


@settings(max_examples=50)
@given(MESSAGES, st.dictionaries(st.sampled_from(sorted(READ | RENAMED.keys())), JSON, max_size=4))
def test_any_request_is_told_or_refused(messages: Any, members: dict[str, Any]) -> None:
    wire = GeminiWire("gemini", clock=ManualClock())
    body = {**members, "model": "m", "messages": messages}
    with suppress(InvalidChatRequest):
        raw = wire.request(CALL._replace(body=body), "gemini-3.5-flash")
        assert isinstance(orjson.loads(raw)["contents"], list)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(["candidates", "promptFeedback", "usageMetadata", "error", "responseId"]),
        JSON
        | st.lists(
            st.fixed_dictionaries({"finishReason": st.just("STOP"), "content": JSON}), max_size=2
        ),
        max_size=3,
    )
)
def test_any_answer_is_one_or_a_failure(document: dict[str, Any]) -> None:
    wire = GeminiWire("gemini", clock=ManualClock())
    with suppress(UpstreamError):
        assert wire.answer(orjson.dumps(document), CALL).document["choices"]
