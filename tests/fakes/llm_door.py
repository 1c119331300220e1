"""A gateway behind a real socket: its ingress, router and providers, for one caller."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from agentcore.kit.clock import SystemClock
from agentcore.kit.ids import Ids
from agentcore.llm_gateway.accounts import Accounts
from agentcore.llm_gateway.gateway import build_provider
from agentcore.llm_gateway.ingress import OpenAIEndpoint
from agentcore.llm_gateway.metrics import GatewayMetrics
from agentcore.llm_gateway.models import CallRecord, ProviderConfig
from agentcore.llm_gateway.prices import PriceBook
from agentcore.llm_gateway.providers.hybrid_router import BREAKERS, BreakerPolicy, HybridRouter
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.asgi_call import ANN
from tests.fakes.openenv_servers import serving


class Door:
    """``url`` goes up to and with ``/v1``; ``lines`` is the ledger."""

    def __init__(
        self,
        endpoint: OpenAIEndpoint,
        lines: list[CallRecord],
        router: HybridRouter,
        pool: ConnectionPool,
    ) -> None:
        self.url = ""
        self.lines = lines
        self.router = router
        self.pool = pool
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"trace_id": "t" * 32, "principal": ANN}
        await self._endpoint(scope, receive, send)


@asynccontextmanager
async def llm_door(
    *providers: ProviderConfig, breakers: BreakerPolicy = BREAKERS
) -> AsyncIterator[Door]:
    clock = SystemClock()
    pool = ConnectionPool(clock)
    prices = PriceBook(providers, reference_model="gpt-5-mini", clock=clock)
    await prices.load()
    lines: list[CallRecord] = []
    metrics = GatewayMetrics(CollectorRegistry())
    built = {each.name: build_provider(each, pool, clock) for each in providers}
    router = HybridRouter(
        [each for each in built.values() if each.destination.self_hosted],
        {name: each for name, each in built.items() if not each.destination.self_hosted},
        accounts=Accounts(prices=prices, metrics=metrics, record=lines.append, clock=clock),
        clock=clock,
        ids=Ids(),
        breakers=breakers,
    )
    endpoint = OpenAIEndpoint(lambda: router, clock=clock, max_body_bytes=10_000_000)
    door = Door(endpoint, lines, router, pool)
    async with serving(door) as url:
        door.url = f"{url}/v1"
        yield door
    pool.close()
