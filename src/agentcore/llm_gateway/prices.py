"""What tokens cost, in Decimal USD, from the maintained price library.

The library's data takes a third of a second to import. It is loaded once, in a thread, while the
service starts; the first call that needs a price waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from agentcore.kit.clock import Clock
from agentcore.llm_gateway.models import PriceOverride, ProviderConfig, TokenUsage

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

MILLION = Decimal(1_000_000)
FREE = PriceOverride(input=Decimal(0), output=Decimal(0))
TEXT_UNITS = ("input_mtok", "output_mtok", "cache_read_mtok", "output_reasoning_mtok")


class Price(Protocol):
    def of(self, usage: TokenUsage) -> Decimal:
        """USD for ``usage``."""
        ...

    def estimate(self, prompt: int, completion: int) -> float:
        """About what so many tokens will cost: for comparing providers, not for the ledger."""
        ...


@dataclass(frozen=True, slots=True)
class FlatPrice:
    """One rate per kind of token, USD per million; cached prompt tokens are part of the prompt."""

    input: Decimal
    output: Decimal
    cached: Decimal

    @classmethod
    def from_override(cls, override: PriceOverride) -> FlatPrice:
        cached = override.input if override.cached is None else override.cached
        return cls(override.input, override.output, cached)

    def of(self, usage: TokenUsage) -> Decimal:
        fresh = usage.prompt_tokens - usage.cached_tokens
        return (
            fresh * self.input
            + usage.cached_tokens * self.cached
            + usage.completion_tokens * self.output
        ) / MILLION

    def estimate(self, prompt: int, completion: int) -> float:
        return float((prompt * self.input + completion * self.output) / MILLION)


@dataclass(frozen=True, slots=True)
class LibraryPrice:
    """A price with tiers or further units: the library's own arithmetic."""

    price: ModelPrice

    def of(self, usage: TokenUsage) -> Decimal:
        from genai_prices import Usage  # noqa: PLC0415 - see the module's docstring

        priced = Usage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cache_read_tokens=usage.cached_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        )
        return self.price.calc_price(priced)["total_price"]

    def estimate(self, prompt: int, completion: int) -> float:
        return float(self.of(TokenUsage(prompt, completion, prompt + completion)))


class PriceBook:
    """Prices by provider and model; None where none is known."""

    def __init__(
        self, providers: Sequence[ProviderConfig], *, reference_model: str, clock: Clock
    ) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._clock = clock
        self._reference_model = reference_model
        self._loaded = asyncio.Event()
        self._prices: dict[tuple[str, str], Price | None] = {}
        self._reference: Price | None = None

    @property
    def loaded(self) -> bool:
        return self._loaded.is_set()

    @property
    def reference(self) -> Price | None:
        """What a self-hosted call would have cost on an API."""
        return self._reference

    async def load(self) -> None:
        """Import the price data off the event loop; to be run once, in the background."""
        try:
            self._reference = await asyncio.to_thread(
                self._look_up, self._reference_model, None, None
            )
        finally:
            self._loaded.set()

    async def wait(self) -> None:
        await self._loaded.wait()

    def price(self, provider: str, model: str) -> Price | None:
        """The price of a provider's own ``model``; resolved once, ``load`` must have ended."""
        key = (provider, model)
        if key not in self._prices:
            known = self._providers.get(provider)
            self._prices[key] = None if known is None else self._resolve(known, model)
        return self._prices[key]

    def _resolve(self, provider: ProviderConfig, model: str) -> Price | None:
        if provider.price is not None:
            return FlatPrice.from_override(provider.price)
        if provider.price_model is not None:
            return self._look_up(provider.price_model, None, None)
        if provider.on_own_hardware:
            return FlatPrice.from_override(FREE)
        if provider.kind == "openai":
            return self._look_up(model, "openai", None)
        return self._look_up(model, None, provider.url)

    def _look_up(self, model: str, provider: str | None, url: str | None) -> Price | None:
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - see above

        try:
            _, found = get_snapshot().find_provider_model(model, None, provider, url)
        except LookupError:
            return None
        return _price(found.get_prices(self._clock.now()))


def _price(found: ModelPrice) -> Price:
    """Three plain rates where the model has no more than that for text, which is the usual case."""
    rates = [getattr(found, unit, None) for unit in TEXT_UNITS]
    prompt, completion, cached, reasoning = rates
    if not isinstance(prompt, Decimal) or not isinstance(completion, Decimal):
        return LibraryPrice(found)
    if reasoning is not None or not isinstance(cached, Decimal | None):
        return LibraryPrice(found)
    return FlatPrice(prompt, completion, prompt if cached is None else cached)
