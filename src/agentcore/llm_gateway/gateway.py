"""The gateway put together from its configuration and the process's collaborators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from agentcore.kit.cache import Cache
from agentcore.kit.clock import Clock
from agentcore.kit.db import Database, StorageUnavailable
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor
from agentcore.llm_gateway.accounts import Accounts
from agentcore.llm_gateway.administration.limits import Limits
from agentcore.llm_gateway.admission import NO_QUEUE, FixedLimit, Gate, Limit
from agentcore.llm_gateway.capacity import AdaptiveLimit
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.costs.store import CostReports
from agentcore.llm_gateway.fleet import Fleet
from agentcore.llm_gateway.ledger import Ledger
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import (
    CallRecord,
    GatewayConfig,
    ProviderConfig,
    ProviderKind,
    QueueConfig,
)
from agentcore.llm_gateway.parallax.cluster_manager import ParallaxClusterManager
from agentcore.llm_gateway.parallax.heads import HeadSignals
from agentcore.llm_gateway.parallax.health_monitor import ParallaxHealthMonitor
from agentcore.llm_gateway.parallax.metrics import HeadReading
from agentcore.llm_gateway.parallax.start_budget import StartBudget
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.providers.anthropic import AnthropicProvider
from agentcore.llm_gateway.providers.api import APIProvider
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.providers.gemini import GeminiProvider
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.providers.openai import (
    CompatibleProvider,
    OpenAIProvider,
    PortkeyProvider,
)
from agentcore.llm_gateway.providers.parallax import ParallaxProvider
from agentcore.llm_gateway.response_cache import ResponseCache
from agentcore.llm_gateway.spans import CallSpans
from agentcore.llm_gateway.spending import open_spending
from agentcore.llm_gateway.store import CallStore
from agentcore.llm_gateway.transport import ConnectionPool
from agentcore.observability.tracing import NO_TRACING, Tracer

log = structlog.get_logger()

PROVIDERS: Mapping[ProviderKind, type[ParallaxProvider | APIProvider]] = {
    "parallax": ParallaxProvider,
    "compatible": CompatibleProvider,
    "portkey": PortkeyProvider,
    "openai": OpenAIProvider,
    "anthropic": AnthropicProvider,
    "gemini": GeminiProvider,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """``router`` answers calls in process, ``front`` those that come by HTTP.

    ``fleet`` keeps the providers, and takes on a new configuration.
    ``costs`` reads the ledger.
    """

    router: HybridRouter
    front: ResponseCache
    costs: CostReports
    ledger: Ledger
    fleet: Fleet
    limits: Limits

    @property
    def gates(self) -> Mapping[str, Gate]:
        return {name: each.gate for name, each in self.router.providers.items()}

    @property
    def clusters(self) -> Mapping[str, ParallaxClusterManager]:
        return clusters_of(self.router)


def clusters_of(router: HybridRouter) -> Mapping[str, ParallaxClusterManager]:
    return {
        name: each.cluster_manager
        for name, each in router.providers.items()
        if isinstance(each, ParallaxProvider)
    }


def heads_of(router: HybridRouter) -> Mapping[str, HeadReading]:
    """What the head nodes told of clusters that have one configured."""
    return {
        name: each.head.reading
        for name, each in router.providers.items()
        if isinstance(each, ParallaxProvider) and each.head is not None
    }


@asynccontextmanager
async def open_gateway(
    config: GatewayConfig,
    *,
    database: Database,
    cache: Cache,
    supervisor: Supervisor,
    metrics: GatewayMetrics,
    clock: Clock,
    ids: Ids,
    tracer: Tracer = NO_TRACING,
) -> AsyncIterator[Gateway]:
    """A gateway with its background tasks running; leaving it writes what is left to write.

    Enter it behind the database: it must close before that does.
    """
    pool = ConnectionPool(clock)
    ledger = _ledger(config, database, metrics, clock)
    prices = PriceBook(config.providers, reference_model=config.reference_model, clock=clock)
    kinds: dict[str, ProviderKind] = {}
    record = _recording(ledger, CallSpans(tracer, kinds)) if tracer.records else ledger.add
    accounts = Accounts(prices=prices, metrics=metrics, record=record, clock=clock)
    router = HybridRouter((), {}, accounts=accounts, clock=clock, ids=ids)
    front = ResponseCache(config.cache, router, accounts=router.accounts, clock=clock, ids=ids)
    fleet = Fleet(
        config,
        router,
        build=lambda each, queue: build_provider(each, pool, clock, queue),
        kinds=kinds,
        supervisor=supervisor,
        metrics=metrics,
        clock=clock,
    )
    _monitor_clusters(router, metrics)
    supervisor.start("gateway prices", prices.load)
    supervisor.start("gateway ledger", ledger.run)
    supervisor.start("gateway ledger relief", ledger.relieve)
    fleet.start()
    spending = open_spending(
        config,
        database=database,
        cache=cache,
        supervisor=supervisor,
        metrics=metrics,
        clock=clock,
        ids=ids,
    )
    try:
        async with spending as bounds:
            router.guarded_by(bounds.guard)
            yield Gateway(
                router=router,
                front=front,
                costs=CostReports(lambda: database),
                ledger=ledger,
                fleet=fleet,
                limits=bounds.limits,
            )
    finally:
        pool.close()
        await _write_rest(ledger)


def _recording(ledger: Ledger, spans: CallSpans) -> Callable[[CallRecord], None]:
    def record(line: CallRecord) -> None:
        ledger.add(line)
        spans.write(line)

    return record


def build_provider(
    config: ProviderConfig,
    pool: ConnectionPool,
    clock: Clock,
    queue: QueueConfig = NO_QUEUE,
) -> BaseLLMProvider:
    """``queue`` is for own hardware only: an API that is full is passed over."""
    own = config.on_own_hardware
    learns = own and config.max_concurrency is None
    limit: Limit = AdaptiveLimit(clock) if learns else FixedLimit(config.max_concurrency, clock)
    if config.kind == "parallax":
        limit = StartBudget(limit, clock)
    provider = PROVIDERS[config.kind](
        config.url,
        pool=pool,
        clock=clock,
        destination=Destination(
            config.name, private=config.private, self_hosted=own, traits=config.traits
        ),
        api_key=config.api_key.get_secret_value() if config.api_key is not None else None,
        models=config.models,
        timeouts=config.timeouts,
        gate=Gate(limit, clock, queue if own else NO_QUEUE),
    )
    if isinstance(provider, ParallaxProvider) and config.head_url:
        provider.head = HeadSignals(config.head_url, cluster=config.name, pool=pool, clock=clock)
    return provider


def _ledger(
    config: GatewayConfig, database: Database, metrics: GatewayMetrics, clock: Clock
) -> Ledger:
    return Ledger(
        CallStore(lambda: database).write,
        clock=clock,
        metrics=metrics,
        flush_seconds=config.ledger_flush,
        buffer=config.ledger_buffer,
    )


def _monitor_clusters(router: HybridRouter, metrics: GatewayMetrics) -> None:
    ParallaxHealthMonitor(
        metrics.registry,
        metrics=metrics,
        prices=lambda: router.accounts.prices,
        clusters=lambda: [each.stats for each in clusters_of(router).values()],
        heads=lambda: heads_of(router),
    )


async def _write_rest(ledger: Ledger) -> None:
    try:
        await ledger.flush()
    except StorageUnavailable:
        log.exception("ledger lines are lost", calls=ledger.pending)
