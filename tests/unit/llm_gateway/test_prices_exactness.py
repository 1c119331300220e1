"""The ledger's figures are the price library's own, for every model it knows and every usage."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version

import pytest
from genai_prices import Usage, calc_price, extract_usage
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ConditionalPrice,
    ModelPrice,
    PriceCalculation,
    Provider,
    StartDateConstraint,
    TimeOfDateConstraint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.kit.jsonvalue import JsonObject
from agentcore.llm_gateway.chat_wire import usage_of
from agentcore.llm_gateway.models import HTTP_URL, ProviderConfig, TokenUsage
from agentcore.llm_gateway.prices import (
    VENDORS,
    FlatPrice,
    LibraryPrice,
    PriceBook,
    library_price,
)
from tests.fakes.clock import ManualClock

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@cache
def everything() -> list[tuple[str, str, ModelPrice]]:
    """Each kind of price that the library has, with a model that has it."""
    kinds: dict[object, tuple[str, str, ModelPrice]] = {}
    for provider in get_snapshot().providers:
        for model in provider.models:
            price = model.get_prices(NOW)
            shape = tuple(
                (name, isinstance(value, Decimal), value == 0)
                for name, value in sorted(vars(price).items())
                if value is not None
            )
            kinds.setdefault(
                (shape, library_price(price).__class__), (provider.id, model.id, price)
            )
    return list(kinds.values())


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    """What can be: parts that fit into the whole, below and above the tiers' bounds."""
    cached = draw(st.integers(0, 300_000))
    heard = draw(st.integers(0, cached))
    write = draw(st.integers(0, 100_000))
    long = draw(st.integers(0, write))
    fresh = draw(st.integers(0, 300_000))
    audio = heard + draw(st.integers(0, fresh))
    said = draw(st.integers(0, 100_000))
    thought = draw(st.integers(0, said))
    spoken = draw(st.integers(0, said - thought))
    drawn = draw(st.integers(0, said - thought - spoken))
    prompt = cached + write + fresh
    searches = draw(st.integers(0, 5))
    return TokenUsage(
        prompt,
        said,
        prompt + said,
        cached,
        thought,
        write,
        long,
        audio,
        spoken,
        heard,
        drawn,
        web_searches=searches,
    )


def in_words_of_the_library(usage: TokenUsage) -> Usage:
    counted = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "cache_read_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "input_audio_tokens": usage.audio_prompt_tokens,
        "output_audio_tokens": usage.audio_completion_tokens,
        "cache_audio_read_tokens": usage.audio_cached_tokens,
        "output_image_tokens": usage.image_completion_tokens,
        "output_reasoning_tokens": usage.reasoning_tokens,
        "web_searches": usage.web_searches,
    }
    return Usage(**{name: count for name, count in counted.items() if count})


def figure(price: ModelPrice, usage: Usage) -> Decimal | None:
    """None where the library says that it cannot tell: of cached audio, for instance."""
    try:
        return price.calc_price(usage)["total_price"]
    except ValueError:
        return None


def test_the_library_has_prices_of_every_kind() -> None:
    made = {type(library_price(price)) for _, _, price in everything()}
    assert made == {FlatPrice, LibraryPrice, type(None)}
    assert len(everything()) > 30


@given(usage=usages())
@settings(max_examples=25, deadline=None)
def test_a_figure_is_the_librarys_for_every_kind_of_price(usage: TokenUsage) -> None:
    theirs = in_words_of_the_library(usage)
    for provider, model, found in everything():
        price = library_price(found)
        if price is not None:
            assert price.of(usage) == figure(found, theirs), (provider, model)


@given(usage=usages())
@settings(max_examples=25, deadline=None)
def test_a_ceiling_is_never_below_what_text_costs(usage: TokenUsage) -> None:
    text = usage._replace(audio_prompt_tokens=0, audio_cached_tokens=0, web_searches=0)
    for provider, model, found in everything():
        price = library_price(found)
        if price is None:
            continue
        most = price.ceiling(text.prompt_tokens, text.completion_tokens)
        if most is not None:
            assert most >= (price.of(text) or 0), (provider, model)


@cache
def sellers() -> list[tuple[ProviderConfig, str]]:
    """Each model that is to be had where the library knows a price of it: by whom, or where."""
    vendors = {vendor: kind for kind, vendor in VENDORS.items()}
    found: list[tuple[ProviderConfig, str]] = []
    for provider in get_snapshot().providers:
        kind = vendors.get(provider.id, "compatible")
        # As good an address as any: what is left to choose is left out.
        url = re.sub(r"\\(.)|\(.*?\)|[.\w-]?[*?]", r"\1", provider.api_pattern)
        if kind == "compatible" and not (HTTP_URL.fullmatch(url) and provider_at(url) == provider):
            continue
        config = ProviderConfig.model_validate(
            {"name": provider.id, "kind": kind, "base_url": url if kind == "compatible" else ""}
        )
        found += [(config, model.id) for model in provider.models]
    return found


def asked_of(config: ProviderConfig, model: str, usage: Usage) -> PriceCalculation:
    vendor = VENDORS.get(config.kind)
    if vendor is None:
        return calc_price(usage, model, provider_api_url=config.url, genai_request_timestamp=NOW)
    return calc_price(usage, model, provider_id=vendor, genai_request_timestamp=NOW)


def provider_at(url: str) -> Provider | None:
    try:
        return get_snapshot().find_provider("", None, url)
    except LookupError:
        return None


def test_nearly_every_price_of_the_library_can_be_asked_for() -> None:
    assert len(sellers()) > 1500
    assert len({config.name for config, _ in sellers()}) > 20


@given(bought=st.deferred(lambda: st.sampled_from(sellers())), usage=usages())
@settings(max_examples=120, deadline=None)
def test_what_is_asked_of_a_seller_costs_what_the_library_says(
    bought: tuple[ProviderConfig, str], usage: TokenUsage
) -> None:
    """By its way through the configuration; what it has no price of is unknown, and never free."""
    config, model = bought
    book = PriceBook([config], reference_model="gpt-5-mini", clock=ManualClock(NOW))
    price = book.price(config.name, model)
    try:
        theirs = asked_of(config, model, in_words_of_the_library(usage))
    except LookupError:
        assert price is None
    except ValueError:
        assert price is None or price.of(usage) is None
    else:
        if price is None:
            assert library_price(theirs.model_price) is None
            assert theirs.total_price == 0
        else:
            assert price.of(usage) == theirs.total_price


COUNT = st.integers(0, 50_000)


@given(
    prompt=COUNT,
    said=COUNT,
    cached=COUNT,
    write=COUNT,
    thought=COUNT,
    spoken=COUNT,
    model=st.sampled_from(["gpt-5-mini", "gpt-4o", "gpt-4o-audio-preview", "gpt-5.4"]),
)
@settings(max_examples=50, deadline=None)
def test_what_a_provider_tells_costs_what_the_library_reads(
    prompt: int, said: int, cached: int, write: int, thought: int, spoken: int, model: str
) -> None:
    told: JsonObject = {
        "prompt_tokens": prompt + cached + write,
        "completion_tokens": said + thought + spoken,
        "total_tokens": prompt + cached + write + said + thought + spoken,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": write},
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": spoken},
    }
    raw: JsonObject = {"model": model, "usage": told}
    theirs = extract_usage(raw, provider_id="openai", api_flavor="chat")
    provider = ProviderConfig(name="openai", kind="openai")
    book = PriceBook([provider], reference_model="gpt-5-mini", clock=ManualClock(NOW))
    price, usage = book.price("openai", model), usage_of(told)
    assert price is not None
    assert usage is not None
    asked = calc_price(theirs.usage, model, provider_id="openai", genai_request_timestamp=NOW)
    assert price.of(usage) == asked.total_price


@pytest.mark.parametrize(
    "usage",
    [TokenUsage(10, 5, 15, 11), TokenUsage(10, 5, 15, 6, 0, 5), TokenUsage(10, 5, 15, 0, 0, 11)],
    ids=str,
)
def test_counts_that_contradict_each_other_cost_nobody_knows_what(usage: TokenUsage) -> None:
    flat = FlatPrice(Decimal(1), Decimal(1), Decimal(1), Decimal(1))
    tiered = next(
        LibraryPrice(price)
        for _, _, price in everything()
        if isinstance(library_price(price), LibraryPrice)
        and price.cache_write_mtok is not None
        and price.cache_read_mtok is not None
    )
    assert flat.of(usage) is None
    assert tiered.of(usage) is None


@pytest.mark.parametrize(
    ("provider", "url"),
    [("openai", "https://api.openai.com/v1"), ("deepseek", "https://api.deepseek.com/v1")],
)
async def test_a_price_that_changes_by_the_day_and_the_hour_is_that_of_the_moment(
    provider: str, url: str
) -> None:
    config = ProviderConfig(name="api", kind="compatible", base_url=url)
    known = next(each for each in get_snapshot().providers if each.id == provider)
    timed = [each for each in known.models if isinstance(each.prices, list)]
    assert timed
    for model in timed:
        assert isinstance(model.prices, list)
        moments = sorted({moment for price in model.prices for moment in changes(price)})
        clock = ManualClock(moments[0] - timedelta(hours=1))
        book = PriceBook([config], reference_model=model.id, clock=clock)
        await book.load()
        for moment in moments:
            for second in (-1, 0, 1):
                at = moment + timedelta(seconds=second)
                clock.advance((at - clock.now()).total_seconds())
                expected = library_price(model.get_prices(at))
                assert book.price("api", model.id) == expected, (model.id, at)


def changes(price: ConditionalPrice) -> list[datetime]:
    constraint = price.constraint
    if isinstance(constraint, StartDateConstraint):
        return [datetime.combine(constraint.start_date, time(), UTC)]
    if isinstance(constraint, TimeOfDateConstraint):
        return [
            datetime.combine(day, each.replace(tzinfo=each.tzinfo or UTC))
            for each in (constraint.start_time, constraint.end_time)
            for day in (NOW.date(), NOW.date() + timedelta(days=1))
        ]
    return []


def test_a_price_says_where_it_is_from() -> None:
    configured = [
        ProviderConfig(name="library", kind="openai"),
        ProviderConfig(name="own", kind="parallax", base_url="http://h"),
    ]
    book = PriceBook(configured, reference_model="gpt-5-mini", clock=ManualClock(NOW))
    library, own = book.price("library", "gpt-5-mini"), book.price("own", "anything")
    assert library is not None
    assert own is not None
    assert library.source == f"genai-prices {version('genai-prices')}"
    assert own.source == "configured"
