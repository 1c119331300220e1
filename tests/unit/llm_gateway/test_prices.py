from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, calc_price, extract_usage
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot

from agentcore.llm_gateway.models import PriceOverride, ProviderConfig, TokenUsage
from agentcore.llm_gateway.prices import FlatPrice, LibraryPrice, PriceBook
from agentcore.llm_gateway.wires.gemini_answer import tokens_of
from tests.fakes.clock import ManualClock

NOW = datetime(2026, 6, 1, tzinfo=UTC)
USAGE = TokenUsage(1000, 200, 1200, 400)
OPENAI = ProviderConfig(name="openai", kind="openai", base_url="https://api.openai.com/v1")
ROUTER = ProviderConfig(name="other", kind="compatible", base_url="https://openrouter.ai/api/v1")
LOCAL = ProviderConfig(name="local", kind="compatible", base_url="http://127.0.0.1:8000/v1")
CLUSTER = ProviderConfig(name="cluster", kind="parallax", base_url="http://127.0.0.1:3001")
AS_MINI = LOCAL.model_copy(update={"name": "as-mini", "price_model": "gpt-5-mini"})
OWN_PRICE = CLUSTER.model_copy(
    update={"name": "own", "price": PriceOverride(input=Decimal("0.1"), output=Decimal("0.2"))}
)
GOOGLE = ProviderConfig(name="google", kind="gemini", base_url="http://127.0.0.1:9/v1beta")
ALL = (OPENAI, GOOGLE, ROUTER, LOCAL, CLUSTER, AS_MINI, OWN_PRICE)


@pytest.fixture
async def book() -> PriceBook:
    book = PriceBook(ALL, reference_model="gpt-5-mini", clock=ManualClock(NOW))
    assert not book.loaded
    await book.load()
    await book.wait()
    return book


def library(usage: TokenUsage, model: str, provider: str = "openai") -> Decimal:
    asked = Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=usage.cached_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    priced = calc_price(asked, model, provider_id=provider, genai_request_timestamp=NOW)
    return priced.total_price


@pytest.mark.parametrize("model", ["gpt-5-mini", "gpt-4o-mini", "gpt-5", "gpt-4o"])
@pytest.mark.parametrize(
    "usage",
    [
        USAGE,
        TokenUsage(1, 0, 1),
        TokenUsage(0, 0, 0),
        TokenUsage(7, 3, 10, 7, 2),
        TokenUsage(300_000, 9000, 309_000, 1000, 500),
    ],
    ids=str,
)
async def test_a_price_is_the_librarys_own_figure(
    book: PriceBook, model: str, usage: TokenUsage
) -> None:
    price = book.price("openai", model)
    assert price is not None
    assert price.of(usage) == library(usage, model)


TEXT, AUDIO, IMAGE = ({"modality": modality} for modality in ("TEXT", "AUDIO", "IMAGE"))


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-2.5-pro", "gemini-3.1-pro-preview"])
@pytest.mark.parametrize(
    "metadata",
    [
        {"promptTokenCount": 9},
        {"promptTokenCount": 1000, "candidatesTokenCount": 7, "thoughtsTokenCount": 90},
        {"promptTokenCount": 1000, "cachedContentTokenCount": 900, "toolUsePromptTokenCount": 5},
        {"promptTokenCount": 300_000, "cachedContentTokenCount": 1, "candidatesTokenCount": 9000},
        {
            "promptTokenCount": 1000,
            "promptTokensDetails": [{**TEXT, "tokenCount": 400}, {**AUDIO, "tokenCount": 600}],
            "cachedContentTokenCount": 400,
            "cacheTokensDetails": [{**TEXT, "tokenCount": 100}, {**AUDIO, "tokenCount": 300}],
        },
    ],
    ids=str,
)
async def test_what_gemini_counts_costs_the_librarys_own_figure(
    book: PriceBook, model: str, metadata: dict[str, Any]
) -> None:
    costs_the_same(book, model, metadata)


async def test_pictures_have_their_own_price(book: PriceBook) -> None:
    drawn = [{**IMAGE, "tokenCount": 1290}, {**TEXT, "tokenCount": 10}]
    metadata = {"promptTokenCount": 9, "candidatesTokenCount": 1300}
    drawn_by = "gemini-2.5-flash-image"
    costs_the_same(book, drawn_by, {**metadata, "candidatesTokensDetails": drawn})


def costs_the_same(book: PriceBook, model: str, metadata: dict[str, Any]) -> None:
    answer = {"modelVersion": model, "usageMetadata": metadata}
    theirs = calc_price(
        extract_usage(answer, provider_id="google").usage,
        model,
        provider_id="google",
        genai_request_timestamp=NOW,
    )
    price, usage = book.price("google", model), tokens_of(metadata)
    assert price is not None
    assert usage is not None
    assert price.of(usage) == theirs.total_price > 0


async def test_money_is_exact(book: PriceBook) -> None:
    price = book.price("openai", "gpt-5-mini")
    assert price == FlatPrice(Decimal("0.25"), Decimal(2), Decimal("0.025"), searches=Decimal(10))
    assert price.of(USAGE) == Decimal("0.00056")


def test_tiers_are_left_to_the_library() -> None:
    vertex = ProviderConfig.model_validate(
        {
            "name": "tiers",
            "kind": "compatible",
            "base_url": "http://h/v1",
            "price_model": "gemini-2.5-pro",
        }
    )
    book = PriceBook([vertex], reference_model="gpt-5-mini", clock=ManualClock(NOW))
    price = book.price("tiers", "any")
    assert isinstance(price, LibraryPrice)
    for prompt in (1000, 300_000):
        usage = TokenUsage(prompt, 100, prompt + 100)
        assert price.of(usage) == library(usage, "gemini-2.5-pro", "google")
    assert price.estimate(1000, 100) == pytest.approx(
        float(library(TokenUsage(1000, 100, 0), "gemini-2.5-pro", "google"))
    )


async def test_an_unknown_price_is_none_and_never_zero(book: PriceBook) -> None:
    assert book.price("openai", "no-such-model") is None
    assert book.price("local", "gpt-5-mini") is None
    assert book.price("other", "no-such-model") is None
    assert book.price("nobody", "gpt-5-mini") is None


async def test_own_hardware_costs_nothing_more_unless_said(book: PriceBook) -> None:
    free = book.price("cluster", "Qwen/Qwen3-8B")
    own = book.price("own", "Qwen/Qwen3-8B")
    assert free is not None
    assert own is not None
    assert free.of(USAGE) == 0
    assert own.of(USAGE) == Decimal("0.00014")


async def test_a_provider_may_be_priced_as_another_model(book: PriceBook) -> None:
    assert book.price("as-mini", "simulated/model") == book.price("openai", "gpt-5-mini")


async def test_prices_of_listed_models_outlive_the_library_s_data() -> None:
    listed = OPENAI.model_copy(update={"models": {"small": "gpt-5-mini"}})
    book = PriceBook([listed], reference_model="gpt-5-mini", clock=ManualClock(NOW))
    # What is kept knows nothing: a price can only be from what was loaded for the while.
    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=False))
    try:
        await book.load()
        listed_price, other = book.price("openai", "gpt-5-mini"), book.price("openai", "gpt-5")
    finally:
        set_custom_snapshot(None)
    assert listed_price is not None
    assert listed_price.of(USAGE) == library(USAGE, "gpt-5-mini")
    assert other is None


async def test_the_reference_tells_what_an_api_would_have_cost(book: PriceBook) -> None:
    assert book.reference is not None
    assert book.reference.of(USAGE) == library(USAGE, "gpt-5-mini")


async def test_an_unknown_reference_is_none() -> None:
    book = PriceBook([], reference_model="no-such-model", clock=ManualClock(NOW))
    await book.load()
    assert book.reference is None


def test_cached_tokens_have_their_price() -> None:
    override = PriceOverride(input=Decimal(2), output=Decimal(4), cached=Decimal("0.5"))
    price = FlatPrice.from_override(override)
    assert price.of(TokenUsage(1_000_000, 0, 1_000_000, 400_000)) == Decimal("1.4")
    assert price.estimate(1_000_000, 1_000_000) == 6.0
