from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.errors import (
    InvalidChatRequest,
    UpstreamCredentialRefused,
    UpstreamError,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from agentcore.llm_gateway.models import ChatCall, TokenUsage
from agentcore.llm_gateway.wires.messages import MessageScanner, MessagesWire, message_usage
from tests.fakes import anthropic_speech as spoken
from tests.fakes.cutting import CUTS, cut

WIRE = MessagesWire("p")
BODY: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "Hello"}],
    "unheard_of": {"a": [1.50, None]},
}
CALL = ChatCall("m", BODY, dialect="messages")
WHOLE = b"".join(
    [
        spoken.starts(cache_read_input_tokens=5),
        spoken.thinks(0, "Hm.", "c2ln"),
        spoken.opens(1, type="tool_use", id="toolu_1", name="f", input={}),
        spoken.grows(1, type="input_json_delta", partial_json='{"a":'),
        spoken.PING,
        spoken.grows(1, type="input_json_delta", partial_json=" 1}"),
        spoken.closes(1),
        spoken.turns("tool_use"),
        spoken.STOP,
    ]
)


def scanned(*parts: bytes) -> tuple[MessageScanner, bytes]:
    scanner = MessageScanner("p")
    out = b"".join(map(scanner.feed, parts))
    return scanner, out + scanner.end()


def test_a_request_keeps_all_but_the_model() -> None:
    assert orjson.loads(WIRE.request(CALL, "claude")) == {**BODY, "model": "claude"}
    assert WIRE.path(CALL, "claude") == "/messages"
    assert BODY["model"] == "m"


def test_the_gateways_own_mark_stays_here() -> None:
    marked = {**BODY, "metadata": {"agentcore_private": True, "user_id": "u"}}
    sent = orjson.loads(WIRE.request(CALL._replace(body=marked), "m"))
    assert sent["metadata"] == {"user_id": "u"}


def test_what_cannot_be_written_is_refused() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(InvalidChatRequest, match="too deep"):
        WIRE.request(CALL._replace(body={**BODY, "messages": deep}), "m")


def test_an_answer_is_the_providers_bytes() -> None:
    raw = b'{ "type": "message", "content": [ ], "vendor": 1.50, "usage": null}'
    reply = WIRE.answer(raw, CALL)
    assert (reply.body, reply.usage) == (raw, None)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"<html>", UpstreamMalformed),
        (b"[]", UpstreamMalformed),
        (b"{}", UpstreamMalformed),
        (orjson.dumps(spoken.fault("busy", "x")), UpstreamRateLimited),
        (orjson.dumps(spoken.fault("down", "x")), UpstreamUnavailable),
        (orjson.dumps(spoken.fault("theirs", "x")), UpstreamRejected),
    ],
)
def test_what_is_no_message_is_none(raw: bytes, expected: type[UpstreamError]) -> None:
    with pytest.raises(expected):
        WIRE.answer(raw, CALL)


def test_tokens_of_the_cache_are_a_part_of_the_prompt() -> None:
    told: dict[str, Any] = {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 3000,
        "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 40},
    }
    assert message_usage(told) == TokenUsage(3210, 50, 3260, 200, 40, 3000, 2000)
    bare: dict[str, Any] = {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": None}
    assert message_usage(bare) == TokenUsage(1, 2, 3)
    assert message_usage({"output_tokens": 2}) is None


@given(CUTS)
def test_how_the_network_cuts_a_stream_does_not_matter(cuts: list[int]) -> None:
    scanner, out = scanned(*cut(WHOLE, cuts))
    assert out == WHOLE
    assert scanner.failure is None
    assert scanner.done
    assert scanner.usage == TokenUsage(17, 3, 20, 5)


@given(st.integers(0, len(WHOLE) - 3))
def test_any_cut_is_noticed(length: int) -> None:
    scanner, out = scanned(WHOLE[:length])
    assert isinstance(scanner.failure, UpstreamTruncated | UpstreamMalformed)
    assert b"message_stop" not in out


def test_it_commits_on_content_alone() -> None:
    scanner = MessageScanner("p")
    scanner.feed(spoken.OPENING)
    assert not scanner.committed
    scanner.feed(spoken.part("a"))
    assert scanner.committed


@pytest.mark.parametrize(
    "content",
    [
        spoken.opens(0, type="tool_use", id="t", name="f", input={}),
        spoken.opens(0, type="redacted_thinking", data="x"),
        spoken.opens(0, type="text", text="begun"),
        spoken.turns("refusal"),
    ],
)
def test_what_else_is_content(content: bytes) -> None:
    scanner = MessageScanner("p")
    scanner.feed(spoken.starts())
    assert not scanner.committed
    scanner.feed(content)
    assert scanner.committed


def test_a_refusal_without_a_word_is_an_answer() -> None:
    scanner, _ = scanned(spoken.starts(), spoken.turns("refusal"), spoken.STOP)
    assert scanner.failure is None


@pytest.mark.parametrize(
    "parts",
    [
        [spoken.OPENING, spoken.part("a"), spoken.turns(), spoken.STOP],
        [spoken.OPENING, spoken.part("a"), spoken.closes(), spoken.STOP],
        [spoken.OPENING, spoken.part("a"), spoken.closes(), spoken.turns()],
        [spoken.OPENING, spoken.STOP],
        [spoken.STOP],
    ],
    ids=["an open block", "no reason", "no stop", "nothing said", "only the stop"],
)
def test_what_has_not_come_to_its_end_is_cut_off(parts: list[bytes]) -> None:
    scanner, out = scanned(*parts)
    assert isinstance(scanner.failure, UpstreamTruncated)
    assert b"message_stop" not in out


def test_an_error_ends_it() -> None:
    error = spoken.event(spoken.fault("busy", "Overloaded"))
    scanner, out = scanned(spoken.OPENING, spoken.part("a"), error, spoken.part("b"), spoken.STOP)
    assert isinstance(scanner.failure, UpstreamRateLimited)
    assert out == spoken.OPENING + spoken.part("a")


def test_a_part_of_no_block_is_malformed() -> None:
    scanner, _ = scanned(spoken.starts(), spoken.part("a"), spoken.STOP)
    assert isinstance(scanner.failure, UpstreamMalformed)


def test_unknown_events_pass_and_nothing_follows_the_stop() -> None:
    news = spoken.event({"type": "news_of_tomorrow"})
    whole = b"".join(spoken.events_of("Hi"))
    scanner, out = scanned(news, whole, b"data: [DONE]\n\n", spoken.part("late"))
    assert scanner.failure is None
    assert out == news + whole


def test_what_was_cut_was_not_counted_though_its_begin_tells_a_token() -> None:
    said = [spoken.part("many words ") for _ in range(9)]
    begun = spoken.starts(cache_creation_input_tokens=7), spoken.opens(), *said
    assert scanned(*begun)[0].usage is None
    # A server that counts at the begin alone is taken at its word when the answer is whole.
    turn = spoken.event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}})
    scanner, _ = scanned(*begun, spoken.closes(), turn, spoken.STOP)
    assert scanner.usage == TokenUsage(19, 1, 20, cache_write_tokens=7)


def test_later_counts_replace_earlier_ones_where_they_are_given() -> None:
    last = spoken.turns(input_tokens=30, cache_read_input_tokens=None, output_tokens=9)
    scanner, _ = scanned(
        spoken.starts(cache_read_input_tokens=4),
        spoken.opens(),
        spoken.part("a"),
        spoken.closes(),
        last,
    )
    assert scanner.usage == TokenUsage(34, 9, 43, 4)


def test_a_spent_account_is_not_the_callers_fault() -> None:
    error: dict[str, Any] = {"type": "invalid_request_error", "message": "spent"}
    rejected = WIRE.failure(400, orjson.dumps({"error": error}), retry_after=None)
    assert isinstance(rejected, UpstreamRejected)
    for told in (
        {**error, "details": {"error_code": "enforced_spend_limit_reached"}},
        {**error, "type": "billing_error"},
    ):
        failure = WIRE.failure(400, orjson.dumps({"error": told}), retry_after=None)
        assert isinstance(failure, UpstreamCredentialRefused)


def test_overload_is_saturation() -> None:
    failure = WIRE.failure(529, orjson.dumps(spoken.fault("busy", "Overloaded")), retry_after=None)
    assert isinstance(failure, UpstreamRateLimited)


def test_a_plain_answer_may_hold_anything() -> None:
    raw = orjson.dumps(spoken.message(spoken.text("a"), {"type": "server_tool_use", "id": "x"}))
    assert WIRE.answer(raw, CALL).usage == TokenUsage(12, 3, 15)
