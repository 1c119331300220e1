"""What callers of Anthropic's messages hear of every provider, whatever it speaks itself."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agentcore.llm_gateway.endpoint import StreamReply
from agentcore.llm_gateway.errors import UpstreamError, UpstreamRejected
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.wire import PlainReply
from tests.contracts.llm_providers.conftest import SERVED
from tests.contracts.llm_providers.test_provider_base import (
    BAD_ENDS,
    Parts,
    cleared,
    is_free,
    read,
)
from tests.fakes.llm_speech import Speech
from tests.fakes.llm_upstream import PAUSE, Behaviour, Upstream, fails, streams

ASKED: dict[str, Any] = {
    "model": SERVED,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello"}],
}


async def begun(provider: BaseLLMProvider) -> StreamReply:
    body = {**ASKED, "stream": True}
    reply = await provider.send(cleared(provider, dialect="messages", body=body, stream=True))
    assert isinstance(reply, StreamReply)
    return reply


def events(stream: bytes) -> list[dict[str, Any]]:
    told = stream.decode().strip().split("\n\n")
    return [orjson.loads(event.rpartition("data: ")[2]) for event in told]


def text_of(told: list[dict[str, Any]]) -> str:
    return "".join(
        event["delta"].get("text", "") for event in told if "index" in event and "delta" in event
    )


async def test_an_answer(provider: BaseLLMProvider) -> None:
    reply = await provider.send(cleared(provider, dialect="messages", body=ASKED))
    assert isinstance(reply, PlainReply)
    told: dict[str, Any] = orjson.loads(reply.body)
    assert told["content"] == [{"type": "text", "text": "Hello there!"}]
    assert (told["stop_reason"], told["usage"]["input_tokens"]) == ("end_turn", 12)
    assert reply.usage == TokenUsage(12, 3, 15)


async def test_a_stream(provider: BaseLLMProvider) -> None:
    reply = await begun(provider)
    told = events(await read(reply))
    assert [told[0]["type"], told[-1]["type"]] == ["message_start", "message_stop"]
    assert text_of(told) == "Hello there!"
    assert reply.usage == TokenUsage(12, 3, 15)


@pytest.mark.parametrize(("tail", "then", "expected"), BAD_ENDS.values(), ids=BAD_ENDS)
async def test_a_stream_that_fails_is_never_passed_off_as_whole(
    provider: BaseLLMProvider,
    upstream: Upstream,
    speech: Speech,
    tail: Parts,
    then: Behaviour | None,
    expected: type[UpstreamError],
) -> None:
    parts = (speech.opening, speech.part("a"), PAUSE, *tail(speech))
    upstream.behaviour = streams(*parts, then=then)
    reply = await begun(provider)
    forwarded: list[bytes] = []
    with pytest.raises(expected):
        await read(reply, into=forwarded)
    told = events(b"".join(forwarded))
    assert text_of(told) == "a"
    assert "message_stop" not in {event["type"] for event in told}
    is_free(provider)


async def test_a_rejection(provider: BaseLLMProvider, upstream: Upstream, speech: Speech) -> None:
    upstream.behaviour = fails(400, speech.fault("theirs", "no such thing"))
    with pytest.raises(UpstreamRejected) as caught:
        await begun(provider)
    told = orjson.loads(caught.value.body)
    assert told["type"] == "error"
    assert "no such thing" in told["error"]["message"]
