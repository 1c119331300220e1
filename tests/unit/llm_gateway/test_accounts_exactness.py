"""What a vendor tells of a call is on the ledger at the price library's own figure.

The library reads the vendor's document by itself; the gateway reads it by its wires.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from genai_prices import calc_price, extract_usage
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from agentcore.kit.ids import Ids
from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.accounts import SUCCESS, Accounts, Outcome
from agentcore.llm_gateway.chat_wire import usage_of
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import CallRecord, ChatCall, ProviderConfig, TokenUsage
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.sse import DONE
from agentcore.llm_gateway.wire import Scanner, Wire
from agentcore.llm_gateway.wires.anthropic import AnthropicWire
from agentcore.llm_gateway.wires.chat import ChatWire
from agentcore.llm_gateway.wires.gemini import GeminiWire
from agentcore.llm_gateway.wires.gemini_answer import tokens_of
from agentcore.llm_gateway.wires.messages import MessagesWire, message_usage
from agentcore.llm_gateway.wires.responses import COUNTS, ResponsesWire
from tests.fakes import anthropic_speech, gemini_speech, responses_speech
from tests.fakes.clock import ManualClock
from tests.fakes.llm_upstream import delta, event

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = ("openai", "anthropic", "gemini")
# Below and above where tiers begin.
COUNT = st.integers(0, 300_000)
FEW = st.integers(0, 2_000)


def booked() -> tuple[Accounts, list[CallRecord]]:
    configured = [ProviderConfig.model_validate({"name": name, "kind": name}) for name in NAMES]
    clock = ManualClock(NOW)
    book = PriceBook(configured, reference_model="gpt-5-mini", clock=clock)
    lines: list[CallRecord] = []
    metrics = GatewayMetrics(CollectorRegistry())
    return Accounts(prices=book, metrics=metrics, record=lines.append, clock=clock), lines


ACCOUNTS, LINES = booked()


def outcome_of(provider: str, model: str, usage: TokenUsage | None) -> Outcome:
    return Outcome(
        id=Ids().new(),
        call=ChatCall(model="m", body={}),
        destination=Destination(provider),
        price=ACCOUNTS.prices.price(provider, model),
        reason="default",
        status=SUCCESS,
        began=0.0,
        usage=usage,
    )


def on_the_ledger(provider: str, model: str, usage: TokenUsage | None) -> Decimal | None:
    returned = ACCOUNTS.settle(outcome_of(provider, model, usage))
    line = LINES.pop()
    assert line.cost_usd == returned
    assert line.price_source is not None
    return line.cost_usd


def by_the_library(raw: JsonObject, vendor: str, flavor: str, model: str) -> Decimal | None:
    """None where it finds the counts impossible."""
    try:
        read = extract_usage(raw, provider_id=vendor, api_flavor=flavor)
        priced = calc_price(read.usage, model, provider_id=vendor, genai_request_timestamp=NOW)
    except ValueError:
        return None
    return priced.total_price


@given(
    fresh=COUNT,
    cached=COUNT,
    written=FEW,
    said=COUNT,
    thought=FEW,
    model=st.sampled_from(["gpt-5-mini", "gpt-4o", "gpt-5.4", "o4-mini"]),
    details=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_openai(
    fresh: int, cached: int, written: int, said: int, thought: int, model: str, details: bool
) -> None:
    prompt, answer = fresh + cached + written, said + thought
    parts: JsonObject = {"cached_tokens": cached, "cache_write_tokens": written}
    chat: JsonObject = {"prompt_tokens": prompt, "completion_tokens": answer}
    response: JsonObject = {"input_tokens": prompt, "output_tokens": answer}
    if details:
        chat |= {
            "prompt_tokens_details": parts,
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
        response |= {
            "input_tokens_details": parts,
            "output_tokens_details": {"reasoning_tokens": thought},
        }
    for usage, flavor, read in ((chat, "chat", usage_of), (response, "responses", COUNTS.read)):
        raw: JsonObject = {"model": model, "usage": usage}
        mine = on_the_ledger("openai", model, read(usage))
        assert mine == by_the_library(raw, "openai", flavor, model)
        assert mine is not None


@given(
    fresh=COUNT,
    read=COUNT,
    short=FEW,
    long=FEW,
    said=COUNT,
    searches=st.integers(0, 3),
    model=st.sampled_from(["claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5"]),
    split=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_anthropic(
    fresh: int,
    read: int,
    short: int,
    long: int,
    said: int,
    searches: int,
    model: str,
    split: bool,
) -> None:
    usage: JsonObject = {
        "input_tokens": fresh,
        "output_tokens": said,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": short + long,
        "server_tool_use": {"web_search_requests": searches},
    }
    if split:
        usage["cache_creation"] = {
            "ephemeral_5m_input_tokens": short,
            "ephemeral_1h_input_tokens": long,
        }
    raw: JsonObject = {"model": model, "usage": usage}
    mine = on_the_ledger("anthropic", model, message_usage(usage))
    assert mine == by_the_library(raw, "anthropic", "default", model)
    assert mine is not None


@given(
    fresh=COUNT,
    cached=COUNT,
    tools=FEW,
    said=COUNT,
    thought=FEW,
    model=st.sampled_from(["gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite"]),
)
@settings(max_examples=40, deadline=None)
def test_gemini(fresh: int, cached: int, tools: int, said: int, thought: int, model: str) -> None:
    usage: JsonObject = {
        "promptTokenCount": fresh + cached,
        "cachedContentTokenCount": cached,
        "toolUsePromptTokenCount": tools,
        "candidatesTokenCount": said,
        "thoughtsTokenCount": thought,
    }
    raw: JsonObject = {"modelVersion": model, "usageMetadata": usage}
    mine = on_the_ledger("gemini", model, tokens_of(usage))
    assert mine == by_the_library(raw, "google", "default", model)
    assert mine is not None


def scanned(wire: Wire, *told: bytes, stream_options: JsonObject | None = None) -> Scanner:
    """A stream's scanner at its end; the answer was whole."""
    body: JsonObject = {"model": "m", "stream": True}
    if stream_options is not None:
        body["stream_options"] = stream_options
    scanner = wire.scanner(ChatCall("m", body, stream=True, wants_usage=stream_options is not None))
    for each in told:
        scanner.feed(each)
    scanner.end()
    assert scanner.failure is None
    return scanner


@given(
    fresh=COUNT,
    cached=COUNT,
    said=COUNT,
    thought=FEW,
    telling=st.sampled_from(["at the end", "all the time", "never"]),
    wanted=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_stream_of_chat_chunks(
    fresh: int, cached: int, said: int, thought: int, telling: str, wanted: bool
) -> None:
    """Usage alone at the end, with every chunk and growing, or not at all."""

    def chunk(done: int, *, alone: bool) -> JsonObject:
        usage: JsonObject = {
            "prompt_tokens": fresh + cached,
            "completion_tokens": done,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": min(done, thought)},
        }
        choice: JsonObject = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
        return {"choices": [] if alone else [choice], "usage": usage}

    last = chunk(said + thought, alone=True)
    parts = [chunk(done, alone=False) for done in range(min(3, said + thought))]
    if telling != "all the time":
        parts = [{**part, "usage": None} for part in parts]
    told = [*map(event, parts), delta(finish="stop")]
    told += [] if telling == "never" else [event(last)]
    wire = ChatWire("openai")
    scanner = scanned(wire, *told, DONE, stream_options={"include_usage": True} if wanted else None)
    mine = on_the_ledger("openai", "gpt-5-mini", scanner.usage)
    if telling == "never":
        assert (scanner.usage, mine) == (None, None)
    else:
        raw: JsonObject = {"model": "gpt-5-mini", "usage": last["usage"]}
        assert mine == by_the_library(raw, "openai", "chat", "gpt-5-mini")


@given(fresh=COUNT, cached=COUNT, said=COUNT, thought=FEW)
@settings(max_examples=20, deadline=None)
def test_a_stream_of_a_response(fresh: int, cached: int, said: int, thought: int) -> None:
    usage: JsonObject = {
        "input_tokens": fresh + cached,
        "output_tokens": said + thought,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens_details": {"reasoning_tokens": thought},
    }
    response: JsonObject = {**responses_speech.response("Hi"), "usage": usage}
    events = (responses_speech.OPENING, responses_speech.part("Hi"))
    done = responses_speech.named("response.completed", response=response)
    scanner = scanned(ResponsesWire("openai"), *events, done)
    raw: JsonObject = {"model": "gpt-5-mini", "usage": usage}
    mine = on_the_ledger("openai", "gpt-5-mini", scanner.usage)
    assert mine == by_the_library(raw, "openai", "responses", "gpt-5-mini")


@given(fresh=COUNT, read=COUNT, short=FEW, long=FEW, said=st.integers(1, 300_000))
@settings(max_examples=20, deadline=None)
def test_a_stream_of_a_message(fresh: int, read: int, short: int, long: int, said: int) -> None:
    """What was read is told at its begin, what was said grows: later counts replace earlier ones.

    Read as it is passed on, and as it is translated.
    """
    begin: dict[str, Any] = {
        "input_tokens": fresh,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": short + long,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": 1,
    }
    speech = anthropic_speech
    events = (speech.starts(**begin), speech.opens(), speech.part("Hi"), speech.closes())
    model = "claude-sonnet-4-5"
    raw: JsonObject = {"model": model, "usage": {**begin, "output_tokens": said}}
    theirs = by_the_library(raw, "anthropic", "default", model)
    for wire in (MessagesWire("anthropic"), AnthropicWire("anthropic", clock=ManualClock(NOW))):
        scanner = scanned(wire, *events, speech.turns(output_tokens=said), speech.STOP)
        assert on_the_ledger("anthropic", model, scanner.usage) == theirs


@given(fresh=COUNT, cached=COUNT, said=COUNT, thought=FEW)
@settings(max_examples=20, deadline=None)
def test_a_stream_of_geminis(fresh: int, cached: int, said: int, thought: int) -> None:
    """Told with every event; the last one counts."""

    def metadata(done: int) -> JsonObject:
        return {
            "promptTokenCount": fresh + cached,
            "cachedContentTokenCount": cached,
            "candidatesTokenCount": done,
            "thoughtsTokenCount": thought,
        }

    model = "gemini-2.5-pro"
    begun = gemini_speech.answer(gemini_speech.candidate("Hi"), usageMetadata=metadata(1))
    ended = gemini_speech.answer(
        gemini_speech.candidate(finish="STOP"), usageMetadata=metadata(said)
    )
    wire = GeminiWire("gemini", clock=ManualClock(NOW))
    scanner = scanned(wire, event(begun), event(ended))
    raw: JsonObject = {"modelVersion": model, "usageMetadata": metadata(said)}
    mine = on_the_ledger("gemini", model, scanner.usage)
    assert mine == by_the_library(raw, "google", "default", model)


def test_what_is_unknown_is_counted() -> None:
    """Tokens without a price, and answers without tokens: of each the series says so."""
    for provider, model, usage in (
        ("openai", "no-such-model", TokenUsage(1, 1, 2)),
        ("openai", "gpt-5-mini", None),
    ):
        series = ACCOUNTS.metrics.series(provider, "m", self_hosted=False)
        before, paid = series.unpriced, series.cost
        outcome = outcome_of(provider, model, usage)
        assert ACCOUNTS.settle(outcome) is None
        assert LINES.pop().cost_usd is None
        assert (series.unpriced, series.cost) == (before + 1, paid)


def test_what_nobody_told_is_null_and_never_0() -> None:
    assert on_the_ledger("openai", "gpt-5-mini", None) is None
    unknown = ACCOUNTS.prices.price("openai", "no-such-model")
    assert unknown is None
