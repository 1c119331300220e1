from __future__ import annotations

import orjson
import pytest

from agentcore.llm_gateway.errors import UpstreamMalformed, UpstreamTruncated, UpstreamUnavailable
from agentcore.llm_gateway.models import LLMRequest
from agentcore.llm_gateway.wires.streamed_chat import GatheringScanner, StreamedChatWire
from tests.fakes.llm_upstream import USAGE, completion, delta, event, events_of

HELLO = LLMRequest(model="m", messages=[{"role": "user", "content": "Hello"}])
WIRE = StreamedChatWire("cluster", prefix="/v1")


def gathered(*parts: bytes) -> GatheringScanner:
    scanner = GatheringScanner("cluster")
    for part in parts:
        scanner.feed(part)
    scanner.end()
    return scanner


@pytest.mark.parametrize("stream", [False, True])
def test_it_always_asks_for_a_stream_with_usage(stream: bool) -> None:
    sent = orjson.loads(WIRE.request(HELLO.call(stream=stream), "theirs"))
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["model"] == "theirs"


def test_the_callers_document_stays_as_it_is() -> None:
    call = HELLO.call()._replace(body={"model": "m", "messages": [], "stream": False})
    assert orjson.loads(WIRE.request(call, "m"))["stream"] is True
    assert call.body["stream"] is False


def test_a_whole_stream_is_a_plain_answer() -> None:
    scanner = gathered(*events_of("Hello there!", usage=True))
    assert scanner.failure is None
    reply = WIRE.answer(scanner.body, HELLO.call())
    plain = completion("Hello there!")
    assert reply.document == plain
    assert plain["usage"] == USAGE


def test_who_does_not_stream_has_answered_too() -> None:
    plain = orjson.dumps(completion("Hello"))
    scanner = gathered(plain[:40], plain[40:])
    assert scanner.failure is None
    assert scanner.body == plain


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([delta("a"), event("[DONE]")], UpstreamTruncated),
        ([delta("a")], UpstreamTruncated),
        ([b'{"error":{"message":"no","code":"server_not_ready"}}'], UpstreamUnavailable),
        ([b'{"object":"list"}'], UpstreamMalformed),
        ([b"<html>"], UpstreamMalformed),
        ([delta("a"), event({"error": {"message": "x"}}), event("[DONE]")], UpstreamUnavailable),
    ],
)
def test_what_is_no_whole_answer_is_a_failure(parts: list[bytes], expected: type) -> None:
    assert type(gathered(*parts).failure) is expected
