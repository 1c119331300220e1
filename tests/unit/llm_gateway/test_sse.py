from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore.llm_gateway.errors import UpstreamMalformed, UpstreamTruncated
from agentcore.llm_gateway.models import TokenUsage
from agentcore.llm_gateway.sse import EventScanner
from tests.fakes.cutting import CUTS, cut
from tests.fakes.llm_upstream import delta, event, events_of, usage_event

WHOLE = b"".join(events_of("Hello there, friend!", usage=True))
STRIPPED = b"".join(events_of("Hello there, friend!", usage=False))


def scanned(*parts: bytes, strip: bool = True) -> tuple[EventScanner, bytes]:
    scanner = EventScanner("p", strip_usage=strip)
    out = b"".join(scanner.feed(part) for part in parts)
    return scanner, out + scanner.end()


@given(CUTS)
def test_how_the_network_cuts_a_stream_does_not_matter(cuts: list[int]) -> None:
    parts = cut(WHOLE, cuts)
    scanner, out = scanned(*parts)
    assert out == STRIPPED
    assert scanner.failure is None
    assert scanner.usage == TokenUsage(12, 3, 15)
    assert scanned(*parts, strip=False)[1] == WHOLE


@given(CUTS)
def test_neither_does_it_with_carriage_returns(cuts: list[int]) -> None:
    windows = WHOLE.replace(b"\n", b"\r\n")
    scanner, out = scanned(*cut(windows, cuts))
    assert scanner.failure is None
    assert out.replace(b"\r", b"") == STRIPPED


@given(st.integers(0, len(WHOLE) - 1))
def test_a_cut_is_noticed_unless_only_the_ornaments_are_lost(length: int) -> None:
    scanner, out = scanned(WHOLE[:length])
    lacks_end = b'"finish_reason":"stop"}' not in WHOLE[:length]
    assert (scanner.failure is not None) >= lacks_end
    if scanner.failure is None:
        assert out == STRIPPED
    else:
        assert b"[DONE]" not in out


def test_it_commits_on_content_not_on_a_role() -> None:
    scanner = EventScanner("p", strip_usage=True)
    scanner.feed(b": ping\n\n" + delta(role=True))
    assert not scanner.committed
    scanner.feed(delta("a"))
    assert scanner.committed


@pytest.mark.parametrize("member", ["tool_calls", "reasoning", "reasoning_content", "refusal"])
def test_it_commits_on_whatever_a_model_can_say(member: str) -> None:
    scanner = EventScanner("p", strip_usage=True)
    scanner.feed(event(f'{{"choices":[{{"index":0,"delta":{{"{member}":["x"]}}}}]}}'))
    assert scanner.committed


def test_null_usage_is_taken_out_of_chunks_that_did_not_ask() -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}\n\n'
    without = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    assert EventScanner("p", strip_usage=True).feed(chunk) == without
    assert EventScanner("p", strip_usage=False).feed(chunk) == chunk


def test_text_that_looks_like_usage_stays() -> None:
    chunk = rb'data: {"choices":[{"delta":{"content":",\"usage\":null"}}],"usage":null}' + b"\n\n"
    out = EventScanner("p", strip_usage=True).feed(chunk)
    assert out == rb'data: {"choices":[{"delta":{"content":",\"usage\":null"}}]}' + b"\n\n"


def test_usage_beside_a_choice_stays_where_it_is() -> None:
    chunk = event(
        '{"choices":[{"index":0,"delta":{"content":"a"}}],'
        '"usage":{"prompt_tokens":1,"completion_tokens":2}}'
    )
    scanner = EventScanner("p", strip_usage=True)
    assert scanner.feed(chunk) == chunk
    assert scanner.usage == TokenUsage(1, 2, 3)


def test_every_choice_must_end() -> None:
    second = event('{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":null}]}')
    scanner, out = scanned(delta("a"), second, delta(finish="stop"), event("[DONE]"))
    assert isinstance(scanner.failure, UpstreamTruncated)
    assert b"[DONE]" not in out


@pytest.mark.parametrize("value", ["-Infinity", '"\\ud83d"', "NaN"])
def test_what_most_clients_would_read_passes_as_it_is(value: str) -> None:
    careless = event(f'{{"choices": [{{"delta": {{"content": "a"}}, "logprobs": {value}}}]}}')
    whole = careless + delta(finish="stop") + event("[DONE]")
    scanner, out = scanned(whole)
    assert (scanner.failure, out) == (None, whole)


def test_nothing_follows_the_end() -> None:
    whole = delta("a") + delta(finish="stop") + event("[DONE]")
    scanner, out = scanned(whole + delta("late"), delta("later") + event("[DONE]"))
    assert (scanner.failure, out) == (None, whole)


def test_good_events_before_a_bad_one_are_forwarded() -> None:
    scanner = EventScanner("p", strip_usage=True)
    assert scanner.feed(delta("a") + event("{bad") + delta("b")) == delta("a")
    assert isinstance(scanner.failure, UpstreamMalformed)
    assert scanner.feed(delta("c")) == b""
    assert scanner.end() == b""


def test_data_may_span_lines() -> None:
    chunk = b'data: {"choices":\ndata: [{"index":0,"delta":{"content":"a"}}]}\n\n'
    scanner = EventScanner("p", strip_usage=True)
    assert scanner.feed(chunk) == chunk
    assert scanner.committed


def test_an_event_without_end_is_refused() -> None:
    scanner = EventScanner("p", strip_usage=True)
    for _ in range(17):
        scanner.feed(b"x" * 1024 * 1024)
    assert isinstance(scanner.failure, UpstreamMalformed)


@pytest.mark.parametrize("payload", ["7", "[]", '"x"', "null"])
def test_an_event_that_is_no_object_is_refused(payload: str) -> None:
    scanner, _ = scanned(event(payload))
    assert isinstance(scanner.failure, UpstreamMalformed)


def test_usage_comes_in_its_own_event() -> None:
    scanner, out = scanned(delta("a"), delta(finish="stop"), usage_event(), event("[DONE]"))
    assert scanner.usage is not None
    assert b"prompt_tokens" not in out
