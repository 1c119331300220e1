from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.llm_gateway.gateway import build_provider
from agentcore.llm_gateway.models import ProviderConfig, Timeouts
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.anthropic_speech import ANTHROPIC
from tests.fakes.gemini_speech import GEMINI
from tests.fakes.llm_speech import OPENAI, Speech
from tests.fakes.llm_upstream import SERVING, Upstream, llm_upstream

SERVED = "qwen3-8b"
# Every kind of provider, and how its API talks.
SPEECHES = {
    "parallax": OPENAI,
    "compatible": OPENAI,
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
}
TIMEOUTS = Timeouts(connect=0.5, first_byte=0.3, idle=0.3, total=0.5)


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionPool]:
    opened = ConnectionPool(SystemClock())
    yield opened
    opened.close()


@pytest.fixture(params=SPEECHES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def speech(kind: str) -> Speech:
    return SPEECHES[kind]


@pytest.fixture
async def upstream(speech: Speech) -> AsyncIterator[Upstream]:
    async with llm_upstream() as running:
        running.status = dict(SERVING)
        running.behaviour = speech.says("Hello there!")
        yield running


@pytest.fixture
def config(kind: str, upstream: Upstream) -> ProviderConfig:
    base = upstream.url if kind == "parallax" else upstream.v1
    return ProviderConfig.model_validate(
        {
            "name": f"a-{kind}",
            "kind": kind,
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
