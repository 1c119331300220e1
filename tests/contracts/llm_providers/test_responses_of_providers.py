"""Responses of every kind of provider, whether it has them itself or is asked in another way."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agentcore.llm_gateway.clearance import Cleared
from agentcore.llm_gateway.endpoint import StreamReply
from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.wire import PlainReply
from tests.contracts.llm_providers.conftest import SERVED, SPEECHES
from tests.fakes.llm_speech import Speech
from tests.fakes.llm_upstream import PAUSE, Upstream, drops, fails, stalls, streams
from tests.fakes.responses_speech import RESPONSES

ASKED: dict[str, Any] = {"model": SERVED, "input": "Hello", "instructions": "Be kind"}


@pytest.fixture
def speech(kind: str) -> Speech:
    return RESPONSES if kind == "openai" else SPEECHES[kind]


def cleared(provider: BaseLLMProvider, *, stream: bool = False, **more: Any) -> Cleared:
    body = {**ASKED, **({"stream": True} if stream else {}), **more}
    call = ChatCall(SERVED, body, stream=stream, wants_usage=True, dialect="responses")
    return Cleared(call, provider.destination)


async def begun(provider: BaseLLMProvider) -> StreamReply:
    reply = await provider.send(cleared(provider, stream=True))
    assert isinstance(reply, StreamReply)
    return reply


async def read(reply: StreamReply, into: list[dict[str, Any]]) -> None:
    try:
        while block := await reply.next():
            lines = [line for line in block.splitlines() if line.startswith(b"data: ")]
            into += [orjson.loads(line.removeprefix(b"data: ")) for line in lines]
    finally:
        reply.close()


async def test_a_plain_response(provider: BaseLLMProvider) -> None:
    reply = await provider.send(cleared(provider))
    assert isinstance(reply, PlainReply)
    document: Any = orjson.loads(reply.body)
    assert (document["object"], document["status"]) == ("response", "completed")
    assert document["output"][-1]["content"][0]["text"] == "Hello there!"
    assert document["usage"]["total_tokens"] == 15
    assert reply.usage == TokenUsage(12, 3, 15)


async def test_a_stream_to_its_last_event(provider: BaseLLMProvider) -> None:
    reply = await begun(provider)
    events: list[dict[str, Any]] = []
    await read(reply, events)
    kinds = [event["type"] for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    deltas = [event["delta"] for event in events if event["type"].endswith("text.delta")]
    assert "".join(deltas).strip() == "Hello there!"
    assert reply.usage == TokenUsage(12, 3, 15)
    assert provider.condition().load == 0


async def test_before_its_content_it_has_not_begun(
    provider: BaseLLMProvider, upstream: Upstream, speech: Speech
) -> None:
    for then, expected in ((None, UpstreamTruncated), (stalls(), UpstreamTimeout)):
        upstream.behaviour = streams(speech.opening, then=then)
        with pytest.raises(expected):
            await begun(provider)
    assert provider.condition().load == 0


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("fault", UpstreamUnavailable),
        ("nonsense", UpstreamMalformed),
        ("nothing", UpstreamTruncated),
        ("drop", UpstreamTruncated),
    ],
)
async def test_what_fails_later_has_no_last_event(
    provider: BaseLLMProvider,
    upstream: Upstream,
    speech: Speech,
    tail: str,
    expected: type[UpstreamError],
) -> None:
    last = {"fault": speech.failing("down", "boom"), "nonsense": speech.event("{broken")}
    then = drops() if tail == "drop" else None
    begin = (speech.opening, speech.part("Hello"), PAUSE)
    upstream.behaviour = streams(*begin, last.get(tail, b": nothing\n\n"), then=then)
    events: list[dict[str, Any]] = []
    reply = await begun(provider)
    with pytest.raises(expected):
        await read(reply, events)
    assert any(event["type"].endswith("text.delta") for event in events)
    assert not any(event["type"] == "response.completed" for event in events)
    assert provider.condition().load == 0


async def test_refusals_are_told_by_kind(provider: BaseLLMProvider, upstream: Upstream) -> None:
    for status, expected in (
        (500, UpstreamUnavailable),
        (429, UpstreamRateLimited),
        (400, UpstreamRejected),
    ):
        upstream.behaviour = fails(status)
        with pytest.raises(expected):
            await provider.send(cleared(provider))


async def test_what_only_openai_has_others_refuse_unasked(
    kind: str, provider: BaseLLMProvider, upstream: Upstream
) -> None:
    asked = cleared(provider, tools=[{"type": "web_search"}])
    if kind == "openai":
        await provider.send(asked)
        return
    with pytest.raises(InvalidChatRequest, match=f"web_search.*a-{kind} is asked by chat") as told:
        await provider.send(asked)
    assert told.value.context == {"param": "tools[0].type", "provider": f"a-{kind}"}
    assert upstream.bodies == []
