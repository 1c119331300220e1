from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.llm_gateway.gateway import build_provider
from agentcore.llm_gateway.models import ProviderConfig, Timeouts
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.llm_upstream import SERVING, Upstream, llm_upstream

SERVED = "qwen3-8b"
TIMEOUTS = Timeouts(connect=0.5, first_byte=0.3, idle=0.3, total=0.5)


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


@pytest.fixture(params=["parallax", "compatible", "openai"])
def config(request: pytest.FixtureRequest, upstream: Upstream) -> ProviderConfig:
    base = upstream.url if request.param == "parallax" else upstream.v1
    return ProviderConfig.model_validate(
        {
            "name": f"a-{request.param}",
            "kind": request.param,
            "base_url": base,
            "api_key": "a-provider-key",
            "private": True,
            "models": {SERVED: "Qwen/Qwen3-8B"},
            "timeouts": TIMEOUTS.model_dump(),
            "max_concurrency": 4,
        }
    )


@pytest.fixture
def provider(config: ProviderConfig, pool: ConnectionPool) -> BaseLLMProvider:
    return build_provider(config, pool, SystemClock())
