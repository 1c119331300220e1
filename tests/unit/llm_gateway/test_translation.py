from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.llm_gateway.errors import UpstreamRejected, UpstreamTruncated
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.replies import chunks_of
from agentcore.llm_gateway.translation import TranslatedWire
from agentcore.llm_gateway.wires.chat import ChatWire

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
CALL = ChatCall("m", {"model": "m", "say": "hello"}, dialect="messages", stream=True)


def chunk(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"


class Spelled:
    """A dialect that has one text where chat completions have messages."""

    def to_chat(self, body: Mapping[str, JsonValue]) -> JsonObject:
        return {"model": body["model"], "messages": [{"role": "user", "content": body["say"]}]}

    def answer(self, document: JsonObject, call: ChatCall) -> JsonObject:
        return {"heard": len(document)}

    def events(self, call: ChatCall) -> Spelling:
        return Spelling()

    def rejection(self, body: bytes) -> bytes:
        return b"spelled: " + body


class Spelling:
    def __init__(self) -> None:
        self.chunks = 0

    def feed(self, chunk: Mapping[str, JsonValue]) -> bytes:
        self.chunks += 1
        return b"+"

    def end(self, usage: TokenUsage | None) -> bytes:
        return b"|%d" % (0 if usage is None else usage.total_tokens)


@pytest.fixture
def wire() -> TranslatedWire:
    return TranslatedWire(ChatWire("p"), Spelled())


def test_the_request_is_a_chat_that_asks_for_its_usage(wire: TranslatedWire) -> None:
    assert orjson.loads(wire.request(CALL._replace(wants_usage=True), "theirs")) == {
        "model": "theirs",
        "messages": [{"role": "user", "content": "hello"}],
        "stream_options": {"include_usage": True},
    }
    assert wire.path(CALL, "theirs") == "/chat/completions"


def test_the_answer_speaks_as_the_caller(wire: TranslatedWire) -> None:
    reply = wire.answer(orjson.dumps({"choices": [], "usage": USAGE}), CALL)
    assert (reply.body, reply.document) == (b'{"heard":2}', {"heard": 2})
    assert reply.usage == TokenUsage(5, 2, 7)


def test_a_stream_is_translated_event_by_event(wire: TranslatedWire) -> None:
    scanner = wire.scanner(CALL)
    first = chunk("Hel")
    assert scanner.feed(first[:10]) == b""
    assert not scanner.committed
    assert scanner.feed(first[10:] + chunk("lo", "stop")) == b"++"
    assert scanner.committed
    usage = b"data: " + orjson.dumps({"choices": [], "usage": USAGE}) + b"\n\n"
    assert scanner.feed(usage + b"data: [DONE]\n\n") == b""
    assert (scanner.done, scanner.end(), scanner.failure) == (True, b"|7", None)


def test_what_is_cut_off_has_no_end(wire: TranslatedWire) -> None:
    scanner = wire.scanner(CALL)
    scanner.feed(chunk("Hel"))
    assert scanner.end() == b""
    assert isinstance(scanner.failure, UpstreamTruncated)


def test_a_rejection_speaks_as_the_caller(wire: TranslatedWire) -> None:
    failure = wire.failure(400, b'{"error":{"message":"no"}}', retry_after=None)
    assert isinstance(failure, UpstreamRejected)
    assert failure.body == b'spelled: {"error":{"message":"no"}}'


def test_only_whole_documents_are_chunks() -> None:
    assert list(chunks_of(chunk("a") + b": comment\n\ndata: [DONE]\n\n")) == [
        orjson.loads(chunk("a")[6:])
    ]
