"""What a vendor tells of a call is on the ledger at the price library's own figure.

The library reads the vendor's document by itself; the gateway reads it by its wires.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

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
from agentcore.llm_gateway.wires.gemini_answer import tokens_of
from agentcore.llm_gateway.wires.messages import message_usage
from agentcore.llm_gateway.wires.responses import COUNTS
from tests.fakes.clock import ManualClock

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


def on_the_ledger(provider: str, model: str, usage: TokenUsage | None) -> Decimal | None:
    outcome = Outcome(
        id=Ids().new(),
        call=ChatCall(model=model, body={}),
        destination=Destination(provider),
        price=ACCOUNTS.prices.price(provider, model),
        reason="default",
        status=SUCCESS,
        began=0.0,
        usage=usage,
    )
    returned = ACCOUNTS.settle(outcome)
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


def test_what_nobody_told_is_null_and_never_0() -> None:
    assert on_the_ledger("openai", "gpt-5-mini", None) is None
    unknown = ACCOUNTS.prices.price("openai", "no-such-model")
    assert unknown is None
