"""What tokens cost, in Decimal USD, from the maintained price library.

What the configuration names is looked up once, in a thread, while the service starts; the first
call that needs a price waits for it. The library's data, 5 MiB, is let go then. It is kept where a
provider lists no models, so that calls name them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, NamedTuple, Protocol

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.models import PriceOverride, ProviderConfig, ProviderKind, TokenUsage

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice

MILLION = Decimal(1_000_000)
THOUSAND = Decimal(1_000)
FREE = PriceOverride(input=Decimal(0), output=Decimal(0))
LIBRARY = f"genai-prices {version('genai-prices')}"
CONFIGURED = "configured"
# Prices of what a call may use beside text, and of which our counts know nothing: no part of it.
BESIDE = frozenset(
    {
        "storage_searches_kcount",
        "social_searches_kcount",
        "code_executions_kcount",
        "rerank_searches_kcount",
    }
)
PLAIN = frozenset(
    {
        "input_mtok",
        "output_mtok",
        "cache_read_mtok",
        "cache_write_mtok",
        "cache_write_1h_mtok",
        "web_searches_kcount",
    }
)
PROMPT = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
# The price library's names of those whose models are priced wherever base_url leads.
VENDORS: Mapping[ProviderKind, str] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
}
Data = Callable[[], "DataSnapshot"]


class Price(Protocol):
    @property
    def source(self) -> str:
        """Where it is from, with its version."""
        ...

    def of(self, usage: TokenUsage) -> Decimal | None:
        """USD for ``usage``; None where the counts contradict each other."""
        ...

    def estimate(self, prompt: int, completion: int) -> float:
        """About what so many tokens will cost: for comparing providers, not for the ledger."""
        ...

    def ceiling(self, prompt: int, completion: int) -> Decimal | None:
        """USD that so many tokens cannot exceed, however they are counted; None: not known."""
        ...


@dataclass(frozen=True, slots=True)
class FlatPrice:
    """One rate per kind of token, USD per million; cached prompt tokens are part of the prompt."""

    input: Decimal
    output: Decimal
    cached: Decimal
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    # Of a thousand; who asks for them pays for them beside the tokens.
    searches: Decimal = Decimal(0)
    source: str = field(default=CONFIGURED, compare=False)

    @classmethod
    def from_override(cls, override: PriceOverride) -> FlatPrice:
        cached = override.input if override.cached is None else override.cached
        return cls(override.input, override.output, cached)

    def of(self, usage: TokenUsage) -> Decimal | None:
        fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
        if fresh < 0:
            return None
        cost = (
            fresh * self.input
            + usage.cached_tokens * self.cached
            + usage.completion_tokens * self.output
        )
        if usage.cache_write_tokens or usage.cache_write_1h_tokens:
            long = usage.cache_write_1h_tokens
            if long > usage.cache_write_tokens:
                return None
            write = self.input if self.cache_write is None else self.cache_write
            kept = write if self.cache_write_1h is None else self.cache_write_1h
            cost += (usage.cache_write_tokens - long) * write + long * kept
        if usage.web_searches:
            cost += usage.web_searches * self.searches * THOUSAND
        return cost / MILLION

    def estimate(self, prompt: int, completion: int) -> float:
        return float((prompt * self.input + completion * self.output) / MILLION)

    def ceiling(self, prompt: int, completion: int) -> Decimal | None:
        rates = (self.input, self.cached, self.cache_write, self.cache_write_1h)
        most = max(rate for rate in rates if rate is not None)
        return (prompt * most + completion * self.output) / MILLION


@dataclass(frozen=True, slots=True)
class LibraryPrice:
    """A price with tiers or further units: the library's own arithmetic."""

    price: ModelPrice
    source: str = field(default=LIBRARY, compare=False)

    def of(self, usage: TokenUsage) -> Decimal | None:
        from genai_prices import Usage  # noqa: PLC0415 - loaded with the price that is asked

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
        try:
            # What is 0 is left out: of a part that is named, the library asks for the whole.
            priced = self.price.calc_price(Usage(**{name: n for name, n in counted.items() if n}))
        except ValueError:
            return None
        return priced["total_price"]

    def estimate(self, prompt: int, completion: int) -> float:
        return float(self.of(TokenUsage(prompt, completion, prompt + completion)) or 0)

    def ceiling(self, prompt: int, completion: int) -> Decimal | None:
        prices = _prices(self.price)
        sent = [rate for name in PROMPT for rate in _rates(prices.get(name))]
        said = [
            rate
            for name, value in prices.items()
            if name.startswith("output_") and name.endswith("_mtok")
            for rate in _rates(value)
        ]
        if not sent:
            return None
        fixed = max(_rates(prices.get("requests_kcount")), default=Decimal(0)) / THOUSAND
        return (prompt * max(sent) + completion * max(said, default=Decimal(0))) / MILLION + fixed


class _Entry(NamedTuple):
    """A price and the moment at which another one may apply; None: never."""

    price: Price | None
    until: datetime | None = None


def _kept() -> DataSnapshot:
    """What the library knows, loaded for good with the first question."""
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - a large library

    return get_snapshot()


def _passing() -> DataSnapshot:
    """The same for a while: what is imported stays, what is only run goes with its last user."""
    from genai_prices.data_snapshot import DataSnapshot  # noqa: PLC0415 - a large library

    spec = find_spec("genai_prices.data")
    if spec is None or spec.loader is None:
        raise AssertionError("the library has its data")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return DataSnapshot(providers=module.providers, from_auto_update=False)


def _may_ask_for_any(provider: ProviderConfig) -> bool:
    """Whether a call may name a model that nobody has listed, and the library prices it."""
    by_library = provider.price_model is not None or not provider.on_own_hardware
    return provider.price is None and by_library and not provider.models


class PriceBook:
    """Prices by provider and model; None where none is known."""

    def __init__(
        self, providers: Sequence[ProviderConfig], *, reference_model: str, clock: Clock
    ) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._clock = clock
        self._reference_model = reference_model
        self._loaded = asyncio.Event()
        self._prices: dict[tuple[str, str], _Entry] = {}
        self._reference = _Entry(None)

    @property
    def loaded(self) -> bool:
        return self._loaded.is_set()

    @property
    def reference(self) -> Price | None:
        """What a self-hosted call would have cost on an API."""
        if self._reference.until is not None and self._over(self._reference):
            self._reference = self._look_up(self._reference_model)
        return self._reference.price

    async def load(self) -> None:
        """Look up what is configured, off the event loop; to be run once, in the background."""
        try:
            self._reference, self._prices = await asyncio.to_thread(self._configured)
        finally:
            self._loaded.set()

    def _configured(self) -> tuple[_Entry, dict[tuple[str, str], _Entry]]:
        providers = self._providers.values()
        loaded = _kept() if any(_may_ask_for_any(each) for each in providers) else _passing()
        prices = {
            (provider.name, model): self._resolve(provider, model, lambda: loaded)
            for provider in providers
            for model in provider.models.values()
        }
        return self._look_up(self._reference_model, lambda: loaded), prices

    async def wait(self) -> None:
        await self._loaded.wait()

    def price(self, provider: str, model: str) -> Price | None:
        """The price of a provider's own ``model`` now; ``load`` must have ended."""
        key = (provider, model)
        found = self._prices.get(key)
        if found is None or (found.until is not None and self._over(found)):
            known = self._providers.get(provider)
            found = _Entry(None) if known is None else self._resolve(known, model)
            self._prices[key] = found
        return found.price

    def _over(self, entry: _Entry) -> bool:
        return entry.until is not None and self._clock.now() >= entry.until

    def _resolve(self, provider: ProviderConfig, model: str, data: Data = _kept) -> _Entry:
        if provider.price is not None:
            return _Entry(FlatPrice.from_override(provider.price))
        if provider.price_model is not None:
            return self._look_up(provider.price_model, data)
        if provider.on_own_hardware:
            return _Entry(FlatPrice.from_override(FREE))
        if provider.kind in VENDORS:
            return self._look_up(model, data, provider=VENDORS[provider.kind])
        return self._look_up(model, data, url=provider.url)

    def _look_up(
        self,
        model: str,
        data: Data = _kept,
        *,
        provider: str | None = None,
        url: str | None = None,
    ) -> _Entry:
        found = _known(model, provider, url, data)
        if found is None:
            return _Entry(None)
        now = self._clock.now()
        return _Entry(library_price(found.get_prices(now)), _next_change(found, now))


def current_price(model: str, now: datetime) -> Price | None:
    """What ``model`` costs where it is made; None where the library does not know it."""
    found = _known(model, None, None, _kept)
    return None if found is None else library_price(found.get_prices(now))


def _known(model: str, provider: str | None, url: str | None, data: Data) -> ModelInfo | None:
    try:
        return data().find_provider_model(model, None, provider, url)[1]
    except LookupError:
        return None


def library_price(found: ModelPrice) -> Price | None:
    """Plain rates where the model has no more than that for text, which is the usual case."""
    prices = {name: value for name, value in _prices(found).items() if name not in BESIDE}
    if not prices:
        return None
    rates = {name: value for name, value in prices.items() if isinstance(value, Decimal)}
    if not PLAIN.issuperset(prices) or rates != prices or "input_mtok" not in rates:
        return LibraryPrice(found)
    return FlatPrice(
        rates["input_mtok"],
        rates.get("output_mtok", Decimal(0)),
        rates.get("cache_read_mtok", rates["input_mtok"]),
        rates.get("cache_write_mtok"),
        rates.get("cache_write_1h_mtok"),
        rates.get("web_searches_kcount", Decimal(0)),
        LIBRARY,
    )


def _prices(found: ModelPrice) -> Mapping[str, object]:
    return {name: value for name, value in vars(found).items() if value is not None}


def _rates(value: object) -> list[Decimal]:
    """The plain rate, or all of the tiers'."""
    if value is None or isinstance(value, Decimal):
        return [] if value is None else [value]
    from genai_prices.types import TieredPrices  # noqa: PLC0415 - plain rates need no library

    if isinstance(value, TieredPrices):
        return [value.base, *(tier.price for tier in value.tiers)]
    return []


def _next_change(model: ModelInfo, now: datetime) -> datetime | None:
    """When another of the model's prices may begin to apply."""
    if not isinstance(model.prices, list):
        return None
    moments = (each for price in model.prices for each in _moments(price, now))
    return min((moment for moment in moments if moment > now), default=None)


def _moments(price: ConditionalPrice, now: datetime) -> Iterator[datetime]:
    from genai_prices.types import (  # noqa: PLC0415 - loaded with the constraint
        StartDateConstraint,
        TimeOfDateConstraint,
    )

    constraint = price.constraint
    if isinstance(constraint, StartDateConstraint):
        yield datetime.combine(constraint.start_date, time(), UTC)
    elif isinstance(constraint, TimeOfDateConstraint):
        for moment in (constraint.start_time, constraint.end_time):
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            # Elsewhere it is another day at times.
            for days in (-1, 0, 1, 2):
                yield datetime.combine(now.date() + timedelta(days=days), zoned)
