"""The providers of the configuration in force, which may change while calls are under way.

A provider whose configuration stays the same stays the same object: its connections, its breaker
and what was learned of it. One that goes gets no new calls; those that it has go on to their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from agentcore.kit.clock import Clock
from agentcore.kit.errors import InvalidInput, StartupError
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.errors import UpstreamError
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import GatewayConfig, ProviderConfig, ProviderKind, QueueConfig
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.privacy import PrivacyRules
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.providers.hybrid_router import BreakerPolicy, HybridRouter
from agentcore.llm_gateway.ranking import CostOptimizer, Weights

# How long a new provider's catalogue is waited for before calls may go there.
CATALOGUE_SECONDS = 5.0
SHADOWS = "gateway shadows"
# What a running gateway takes from a new configuration; the rest needs a new start.
TAKEN = frozenset(
    {
        "providers",
        "traffic",
        "privacy",
        "reference_model",
        "queue",
        "breaker_failures",
        "breaker_recovery",
    }
)

log = structlog.get_logger()

Build = Callable[[ProviderConfig, QueueConfig], BaseLLMProvider]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What a new configuration changed. ``ignored`` settings need a new start."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    ignored: tuple[str, ...]


class Fleet:
    """``kinds`` tells others what each provider is; it is kept up to date here."""

    def __init__(
        self,
        config: GatewayConfig,
        router: HybridRouter,
        *,
        build: Build,
        kinds: dict[str, ProviderKind],
        supervisor: Supervisor,
        metrics: GatewayMetrics,
        clock: Clock,
    ) -> None:
        self._config = config
        self._router = router
        self._build = build
        self._kinds = kinds
        self._supervisor = supervisor
        self._metrics = metrics
        self._clock = clock
        self._turn = asyncio.Lock()

    def start(self) -> None:
        """The first configuration: nothing is waited for."""
        config = self._config
        providers = {each.name: self._build(each, config.queue) for each in config.providers}
        self._route(config, providers, PrivacyRules(config.privacy))
        for name, provider in providers.items():
            self._begin(name, provider)
        self._begin_shadows()

    async def reload(self, read: Callable[[], GatewayConfig]) -> Reloaded:
        """Take on what ``read`` says, in a thread; calls under way notice nothing.

        Raises:
            InvalidInput: the settings are wrong, and nothing was changed.
        """
        async with self._turn:
            try:
                config = await asyncio.to_thread(read)
                privacy = PrivacyRules(config.privacy)
            except StartupError as error:
                # What would keep a new process from starting does not stop this one.
                raise InvalidInput(error.detail, hint=error.hint) from error
            return await self._adopt(config, privacy)

    async def _adopt(self, config: GatewayConfig, privacy: PrivacyRules) -> Reloaded:
        before = {each.name: each for each in self._config.providers}
        after = {each.name: each for each in config.providers}
        same_queue = config.queue == self._config.queue
        kept = {name for name in after if same_queue and after[name] == before.get(name)}
        new = {name: self._build(after[name], config.queue) for name in after if name not in kept}
        prices = PriceBook(
            config.providers, reference_model=config.reference_model, clock=self._clock
        )
        await asyncio.gather(prices.load(), *map(_known, new.values()))
        known = self._router.providers
        # From here to the end nothing fails: calls see the old configuration or the new one.
        for name in new.keys() & known.keys():
            if after[name].url == before[name].url:
                new[name].gate.follow(known[name].gate)
        self._router.accounts.prices = prices
        self._route(config, {name: new.get(name) or known[name] for name in after}, privacy)
        told = Reloaded(
            added=tuple(name for name in after if name not in before),
            changed=tuple(name for name in new if name in before),
            removed=tuple(name for name in before if name not in after),
            ignored=_ignored(self._config, config),
        )
        self._config = self._config.model_copy(
            update={name: getattr(config, name) for name in TAKEN}
        )
        for name, provider in before.items():
            if provider.private and name in after and not after[name].private:
                # Of those who stand in line some may be private.
                known[name].gate.dismiss()
        await self._swap(new, told)
        log.info("gateway reloaded", added=told.added, changed=told.changed, removed=told.removed)
        return told

    def _route(
        self,
        config: GatewayConfig,
        providers: Mapping[str, BaseLLMProvider],
        privacy: PrivacyRules,
    ) -> None:
        self._kinds.clear()
        self._kinds.update({each.name: each.kind for each in config.providers})
        self._router.adopt(
            providers,
            optimizer=CostOptimizer(Weights(**config.traffic.ranking.model_dump())),
            breakers=BreakerPolicy(config.breaker_failures, config.breaker_recovery),
            traffic=config.traffic,
            privacy=privacy,
        )

    async def _swap(self, new: Mapping[str, BaseLLMProvider], told: Reloaded) -> None:
        for name in (*told.removed, *told.changed):
            await self._supervisor.end(_task(name))
            self._metrics.gates.pop(name, None)
        for name, provider in new.items():
            self._begin(name, provider)
        await self._supervisor.end(SHADOWS)
        self._begin_shadows()

    def _begin(self, name: str, provider: BaseLLMProvider) -> None:
        self._metrics.gates[name] = provider.gate
        self._supervisor.start(_task(name), provider.watch)

    def _begin_shadows(self) -> None:
        router, shadows = self._router, self._router.shadows
        if shadows.wanted:
            self._supervisor.start(SHADOWS, lambda: shadows.run(router.shadow))


async def _known(provider: BaseLLMProvider) -> None:
    """What it serves, if it says so in time; its watch goes on asking."""
    try:
        async with asyncio.timeout(CATALOGUE_SECONDS):
            await provider.get_available_models()
    except (UpstreamError, TimeoutError) as error:
        log.warning("new provider", provider=provider.destination.name, trouble=str(error))


def _task(name: str) -> str:
    return f"gateway provider {name}"


def _ignored(before: GatewayConfig, after: GatewayConfig) -> tuple[str, ...]:
    names = type(after).model_fields.keys() - TAKEN
    return tuple(sorted(name for name in names if getattr(before, name) != getattr(after, name)))
