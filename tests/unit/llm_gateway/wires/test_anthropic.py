from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.errors import (
    UpstreamError,
    UpstreamMalformed,
    UpstreamRejected,
    UpstreamTruncated,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.replies import chunks_of, text_of
from agentcore.llm_gateway.wire import Scanner
from agentcore.llm_gateway.wires.anthropic import AnthropicWire
from tests.fakes import anthropic_speech as spoken
from tests.fakes.clock import ManualClock
from tests.fakes.cutting import CUTS, cut

CALL = ChatCall("m", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
STREAM = CALL._replace(stream=True)
WHOLE = b"".join(
    [
        spoken.starts(),
        spoken.thinks(0, "Hm.", "c2ln"),
        spoken.opens(1),
        spoken.grows(1, type="text_delta", text="Hello "),
        spoken.PING,
        spoken.grows(1, type="text_delta", text="there!"),
        spoken.closes(1),
        spoken.opens(2, type="tool_use", id="toolu_1", name="f", input={}),
        spoken.grows(2, type="input_json_delta", partial_json='{"a":"ü'),
        spoken.grows(2, type="input_json_delta", partial_json='"}'),
        spoken.closes(2),
        spoken.turns("tool_use"),
        spoken.STOP,
    ]
)


@pytest.fixture(scope="module")
def wire() -> AnthropicWire:
    return AnthropicWire("p", ManualClock())


def read(scanner: Scanner, *parts: bytes) -> bytes:
    out = b"".join(map(scanner.feed, parts))
    return out + scanner.end()


def test_a_request(wire: AnthropicWire) -> None:
    assert wire.path(CALL, "claude-opus-5") == "/messages"
    assert orjson.loads(wire.request(STREAM, "claude-opus-5")) == {
        "model": "claude-opus-5",
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
    }


def test_an_answer(wire: AnthropicWire) -> None:
    reply = wire.answer(orjson.dumps(spoken.message(spoken.text("Hello"))), CALL)
    assert orjson.loads(reply.body) == reply.document
    assert reply.usage == TokenUsage(12, 3, 15)
    assert reply.document["created"] == int(ManualClock().now().timestamp())


def test_an_answer_is_read_as_it_is_streamed(wire: AnthropicWire) -> None:
    scanner = wire.scanner(STREAM)
    chunks = list(chunks_of(read(scanner, WHOLE)))
    assert scanner.failure is None
    deltas: list[Any] = [chunk["choices"] for chunk in chunks]
    told = [choice["delta"] for (choice,) in deltas]
    assert "".join(delta.get("reasoning_content", "") for delta in told) == "Hm."
    assert "".join(delta.get("content", "") for delta in told) == "Hello there!"
    calls = [call for delta in told for call in delta.get("tool_calls", ())]
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a":"ü"}'
    assert deltas[-1][0]["finish_reason"] == "tool_calls"


@given(CUTS, st.booleans())
def test_how_the_network_cuts_a_stream_does_not_matter(cuts: list[int], windows: bool) -> None:
    wire = AnthropicWire("p", ManualClock())
    call = STREAM._replace(wants_usage=True)
    stream = WHOLE.replace(b"\n", b"\r\n") if windows else WHOLE
    scanner = wire.scanner(call)
    out = read(scanner, *cut(stream, cuts))
    assert out == read(wire.scanner(call), WHOLE)
    assert scanner.failure is None
    assert scanner.usage == TokenUsage(12, 3, 15)
    assert out.endswith(b"data: [DONE]\n\n")


@given(st.integers(0, len(WHOLE) - 3))
def test_any_cut_is_noticed(length: int) -> None:
    scanner = AnthropicWire("p", ManualClock()).scanner(STREAM)
    out = read(scanner, WHOLE[:length])
    assert isinstance(scanner.failure, UpstreamTruncated | UpstreamMalformed)
    assert b"[DONE]" not in out


def test_signs_of_life_go_on(wire: AnthropicWire) -> None:
    scanner = wire.scanner(STREAM)
    scanner.feed(spoken.OPENING)
    assert scanner.feed(spoken.PING) == b": ping\n\n"
    assert list(text_of(scanner.feed(spoken.PING + spoken.part("a")))) == ["a"]


def test_usage_is_told_to_who_asks(wire: AnthropicWire) -> None:
    whole = b"".join(spoken.events_of("Hi"))
    assert b"usage" not in read(wire.scanner(STREAM), whole)
    *_, last = chunks_of(read(wire.scanner(STREAM._replace(wants_usage=True)), whole))
    assert last["usage"]


def complaint(failure: UpstreamError | None) -> dict[str, Any]:
    assert isinstance(failure, UpstreamRejected)
    document: dict[str, Any] = orjson.loads(failure.body)
    return document


TOLD = {"message": "no", "type": "invalid_request_error", "param": None, "code": None}


def test_a_rejection_speaks_as_openai_does(wire: AnthropicWire) -> None:
    raw = orjson.dumps(spoken.fault("theirs", "no"))
    assert complaint(wire.failure(400, raw, retry_after=None)) == {"error": TOLD}
    with pytest.raises(UpstreamRejected) as caught:
        wire.answer(raw, CALL)
    assert complaint(caught.value) == {"error": TOLD}
    scanner = wire.scanner(STREAM)
    scanner.feed(spoken.event(spoken.fault("theirs", "no")))
    assert complaint(scanner.failure) == {"error": TOLD}


def test_a_rejection_without_words_has_ours(wire: AnthropicWire) -> None:
    (error,) = complaint(wire.failure(413, b"<html>", retry_after=None)).values()
    assert error["message"] == "p said 413"
