from __future__ import annotations

import pytest

from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.models import LLMRequest, LLMResponse
from agentcore.llm_gateway.replies import read_plain, text_of
from agentcore.llm_gateway.wire import PlainReply
from tests.fakes.llm_upstream import completion, delta, event, usage_event

REQUEST = LLMRequest(model="m", messages=[], trace_id="t")


def response(document: JsonObject) -> LLMResponse:
    reply = PlainReply(b"", document, None)
    return read_plain(reply, REQUEST, provider="p", latency_ms=1.0, cost=None)


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
