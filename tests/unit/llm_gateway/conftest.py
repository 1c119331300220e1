from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from prometheus_client import CollectorRegistry

from agentcore.kit.clock import Clock, SystemClock
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.accounts import Accounts
from agentcore.llm_gateway.clearance import Destination
from agentcore.llm_gateway.ingress import OpenAIEndpoint
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import CallRecord, PriceOverride, ProviderConfig, Timeouts
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.providers.api import APIProvider
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.providers.hybrid_router import HybridRouter
from agentcore.llm_gateway.providers.openai import OpenAIProvider
from agentcore.llm_gateway.providers.parallax import ParallaxProvider
from agentcore.llm_gateway.traffic import TrafficConfig
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.asgi_call import Call
from tests.fakes.clock import ManualClock
from tests.fakes.llm_gate import unbounded
from tests.fakes.llm_provider import FakeProvider
from tests.fakes.llm_upstream import SERVING, Upstream, llm_upstream

Build = Callable[..., HybridRouter]
HELLO = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
Asking = Callable[..., Call]
P = TypeVar("P", bound=APIProvider)


def call_record(**changes: Any) -> CallRecord:
    """A line of the ledger of which all is known that must be, and nothing else."""
    made = CallRecord(
        id=Ids().new(),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        tenant="acme",
        subject="ann",
        provider="api",
        model="m",
        kind="api",
        status="success",
        usage=None,
        latency_ms=12.5,
        ttft_ms=None,
        cost_usd=None,
        api_equivalent_usd=None,
        reason="default",
        trace_id="",
        private=False,
    )
    return made._replace(**changes)


def priced(name: str, usd: str | None) -> ProviderConfig:
    price = None if usd is None else PriceOverride(input=Decimal(usd), output=Decimal(usd))
    return ProviderConfig(
        name=name,
        kind="parallax" if name.startswith("cluster") else "compatible",
        base_url="http://127.0.0.1:1",
        price=price,
    )


def api_at(kind: type[P], upstream: Upstream, pool: ConnectionPool, clock: Clock, **more: Any) -> P:
    """A provider that takes as many calls as come."""
    gate = unbounded(clock)
    own = {"destination": Destination("cheap"), **more}
    return kind(upstream.v1, pool=pool, clock=clock, gate=gate, **own)


@pytest.fixture
def provider(upstream: Upstream, pool: ConnectionPool, clock: ManualClock) -> ParallaxProvider:
    return ParallaxProvider(cluster_url=upstream.url, pool=pool, clock=clock, gate=unbounded(clock))


@pytest.fixture
async def prices(clock: ManualClock) -> PriceBook:
    configured = [
        priced("cluster", None),
        priced("cluster-2", None),
        priced("cheap", "1"),
        priced("dear", "9"),
        priced("unpriced", None),
    ]
    book = PriceBook(configured, reference_model="gpt-5-mini", clock=clock)
    await book.load()
    return book


@pytest.fixture
def lines() -> list[CallRecord]:
    return []


@pytest.fixture
def accounts(
    prices: PriceBook, registry: CollectorRegistry, lines: list[CallRecord], clock: ManualClock
) -> Accounts:
    metrics = GatewayMetrics(registry)
    return Accounts(prices=prices, metrics=metrics, record=lines.append, clock=clock)


@pytest.fixture
def build(accounts: Accounts, clock: ManualClock, ids: Ids) -> Build:
    def routed(*providers: BaseLLMProvider, **traffic: Any) -> HybridRouter:
        return HybridRouter(
            [each for each in providers if each.destination.self_hosted],
            {each.destination.name: each for each in providers if not each.destination.self_hosted},
            accounts=accounts,
            clock=clock,
            ids=ids,
            traffic=TrafficConfig.model_validate(traffic),
        )

    return routed


@pytest.fixture
def cluster(clock: ManualClock) -> FakeProvider:
    return FakeProvider("cluster", clock, private=True, self_hosted=True)


@pytest.fixture
def cheap(clock: ManualClock) -> FakeProvider:
    return FakeProvider("cheap", clock)


@pytest.fixture
def dear(clock: ManualClock) -> FakeProvider:
    return FakeProvider("dear", clock)


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionPool]:
    opened = ConnectionPool(SystemClock())
    yield opened
    opened.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with llm_upstream() as running:
        running.status = dict(SERVING)
        yield running


@pytest.fixture
def remote(
    upstream: Upstream, pool: ConnectionPool, request: pytest.FixtureRequest
) -> OpenAIProvider:
    # Patience costs nothing but where a test waits for its end.
    idle = 0.2 if "falls_silent" in request.node.name else 60
    timeouts = Timeouts(connect=60, first_byte=60, idle=idle, total=60)
    models = {"m": "theirs"}
    return api_at(OpenAIProvider, upstream, pool, SystemClock(), models=models, timeouts=timeouts)


@pytest.fixture
def router(build: Build, remote: OpenAIProvider) -> HybridRouter:
    return build(remote)


@pytest.fixture
def asking(router: HybridRouter) -> Asking:
    endpoint = OpenAIEndpoint(lambda: router, clock=SystemClock(), max_body_bytes=10_000)

    def ask(body: Any = None, **more: Any) -> Call:
        raw = body if isinstance(body, bytes) else json.dumps({**HELLO, **(body or {})}).encode()
        return Call(endpoint, raw, **more)

    return ask
