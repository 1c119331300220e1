"""What ParallaxProvider tells the router; the conformance suite has the rest."""

from __future__ import annotations

from agentcore.llm_gateway.models import LLMRequest
from agentcore.llm_gateway.providers.parallax import ParallaxProvider
from tests.fakes.llm_upstream import Upstream


async def test_usage_000_parallax_provider(provider: ParallaxProvider) -> None:
    request = LLMRequest(model="Qwen/Qwen3-8B", messages=[{"role": "user", "content": "Hello"}])
    response = await provider.complete(request)
    assert response.provider == "parallax"
    assert response.content == "Hello there!"


async def test_never_heard_is_worth_a_try(provider: ParallaxProvider) -> None:
    condition = provider.condition()
    assert condition.available
    assert condition.has_capacity
    assert provider.served_models() is None


async def test_a_heard_cluster_serves_its_model(provider: ParallaxProvider) -> None:
    assert await provider.get_available_models() == ["Qwen/Qwen3-8B"]
    assert provider.served_models() == ("Qwen/Qwen3-8B",)
    assert provider.condition().available


async def test_a_waiting_cluster_is_not_available(
    provider: ParallaxProvider, upstream: Upstream
) -> None:
    upstream.tell(status="waiting")
    stats = await provider.get_cluster_stats()
    assert stats.health == "not_ready"
    condition = provider.condition()
    assert not condition.available
    assert condition.why == "not_ready"
