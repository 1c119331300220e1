from __future__ import annotations

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.clearance import Cleared
from agentcore.llm_gateway.endpoint import Reply
from agentcore.llm_gateway.errors import UpstreamMalformed
from agentcore.llm_gateway.models import LLMRequest, LLMResponse
from agentcore.llm_gateway.providers.openai import OpenAIProvider
from agentcore.llm_gateway.replies import completed, read_whole, streamed, text_of
from agentcore.llm_gateway.wire import PlainReply
from tests.fakes.llm_upstream import completion, delta, event, usage_event

REQUEST = LLMRequest(model="m", messages=[], trace_id="t")


def response(document: JsonObject) -> LLMResponse:
    reply = PlainReply(b"", document, None)
    return read_whole(reply, REQUEST, provider="p", latency_ms=1.0, cost=None)


def test_the_first_choice_is_read() -> None:
    read = response(completion("Hello"))
    assert (read.content, read.finish_reason, read.trace_id) == ("Hello", "stop", "t")
    assert read.message == {"role": "assistant", "content": "Hello"}


def test_tool_calls_are_in_the_message() -> None:
    message: JsonObject = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    read = response({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    assert read.content == ""
    assert read.message["tool_calls"] == [{"id": "1"}]


@pytest.mark.parametrize(
    "document", [{"choices": []}, {"choices": [7]}, {"choices": [{"message": "x"}]}, {}], ids=str
)
def test_an_empty_answer_is_empty(document: JsonObject) -> None:
    assert response(document).content == ""


def test_text_of_events() -> None:
    block = b": hi\n\n" + delta(role=True) + delta("a") + delta("b") + usage_event()
    assert list(text_of(block + event("[DONE]"))) == ["a", "b"]


def test_an_event_may_have_several_lines() -> None:
    block = b'event: x\ndata: {"choices":\ndata: [{"delta": {"content": "a"}}]}\n\n' + delta("b")
    assert list(text_of(block)) == ["a", "b"]
    assert list(text_of(block.replace(b"\n", b"\r\n"))) == ["a", "b"]


def test_half_a_character_can_be_written_on() -> None:
    half = event('{"choices": [{"delta": {"content": "\\ud83d"}}]}')
    assert list(text_of(half)) == ["\ufffd"]


class Contrary:
    """Streams to who wants the whole answer, and the other way round."""

    def __init__(self, provider: OpenAIProvider) -> None:
        self.provider = provider
        self.destination = provider.destination

    async def send(self, cleared: Cleared) -> Reply:
        call = cleared.for_sending(self.destination)
        other = call._replace(stream=not call.stream, body={**call.body, "stream": not call.stream})
        return await self.provider.send(Cleared(other, self.destination))


async def test_what_was_not_asked_for_is_no_answer_and_holds_no_place(
    remote: OpenAIProvider,
) -> None:
    with pytest.raises(UpstreamMalformed, match="cheap streamed an answer not asked for"):
        await completed(Contrary(remote), REQUEST, SystemClock())
    with pytest.raises(UpstreamMalformed, match="cheap did not stream"):
        await anext(aiter(streamed(Contrary(remote), REQUEST)))
    assert remote.gate.in_flight == 0
