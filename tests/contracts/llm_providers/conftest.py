from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.llm_gateway.gateway import build_provider
from agentcore.llm_gateway.models import Dialect, ProviderConfig, Timeouts
from agentcore.llm_gateway.providers.base import BaseLLMProvider
from agentcore.llm_gateway.transport import ConnectionPool
from tests.contracts.llm_providers.dialogue import SERVED
from tests.fakes.anthropic_speech import ANTHROPIC
from tests.fakes.gemini_speech import GEMINI
from tests.fakes.llm_speech import OPENAI, Speech
from tests.fakes.llm_upstream import SERVING, Upstream, llm_upstream
from tests.fakes.responses_speech import RESPONSES

# Every kind of provider, and how its API talks.
SPEECHES = {
    "parallax": OPENAI,
    "compatible": OPENAI,
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
}
# Which of them have other dialects themselves.
FURTHER: dict[tuple[str, Dialect], Speech] = {
    ("anthropic", "messages"): ANTHROPIC,
    ("openai", "responses"): RESPONSES,
}
PATIENT = Timeouts(connect=60, first_byte=60, idle=60, total=60)
# In tests of these names nothing more comes: before the answer, or within it.
SHORT = {
    "stalled": Timeouts(connect=60, first_byte=0.1, idle=60, total=0.1),
    "silent": Timeouts(connect=60, first_byte=60, idle=0.1, total=60),
}


@pytest.fixture
async def pool() -> AsyncIterator[ConnectionPool]:
    opened = ConnectionPool(SystemClock())
    yield opened
    opened.close()


@pytest.fixture(params=SPEECHES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def dialect() -> Dialect:
    """How callers speak; not how the provider does."""
    return "chat"


@pytest.fixture
def speech(kind: str, dialect: Dialect) -> Speech:
    return FURTHER.get((kind, dialect), SPEECHES[kind])


@pytest.fixture
def timeouts(request: pytest.FixtureRequest) -> Timeouts:
    found = (each for word, each in SHORT.items() if word in request.node.name)
    return next(found, PATIENT)


@pytest.fixture
async def upstream(speech: Speech) -> AsyncIterator[Upstream]:
    async with llm_upstream() as running:
        running.status = dict(SERVING)
        running.behaviour = speech.says("Hello there!")
        yield running


@pytest.fixture
def config(kind: str, upstream: Upstream, timeouts: Timeouts) -> ProviderConfig:
    base = upstream.url if kind == "parallax" else upstream.v1
    return ProviderConfig.model_validate(
        {
            "name": f"a-{kind}",
            "kind": kind,
            "base_url": base,
            "api_key": "a-provider-key",
            "private": True,
            "models": {SERVED: "Qwen/Qwen3-8B"},
            "timeouts": timeouts.model_dump(),
            "max_concurrency": 4,
        }
    )


@pytest.fixture
def provider(config: ProviderConfig, pool: ConnectionPool) -> BaseLLMProvider:
    return build_provider(config, pool, SystemClock())
