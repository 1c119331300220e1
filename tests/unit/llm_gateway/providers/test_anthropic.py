"""What is Anthropic's own; the conformance suite has the rest."""

from __future__ import annotations

from typing import Any

import pytest

from agentcore.kit.clock import SystemClock
from agentcore.llm_gateway.clearance import Cleared
from agentcore.llm_gateway.errors import UpstreamCredentialRefused
from agentcore.llm_gateway.models import ChatCall, ProviderConfig
from agentcore.llm_gateway.providers.anthropic import AnthropicProvider
from agentcore.llm_gateway.transport import ConnectionPool
from tests.fakes.anthropic_speech import says
from tests.fakes.llm_upstream import Upstream, fails
from tests.unit.llm_gateway.conftest import api_at

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def provider(upstream: Upstream, pool: ConnectionPool) -> AnthropicProvider:
    upstream.behaviour = says("Hello")
    key = "a-provider-key"
    return api_at(AnthropicProvider, upstream, pool, SystemClock(), api_key=key)


async def test_it_names_its_key_and_the_version(
    provider: AnthropicProvider, upstream: Upstream
) -> None:
    await provider.send(Cleared(ChatCall("m", HELLO), provider.destination))
    (headers,) = upstream.headers
    assert headers["x-api-key"] == "a-provider-key"
    assert headers["anthropic-version"] == "2023-06-01"
    assert "Authorization" not in headers
    assert "anthropic-beta" not in headers


async def test_it_passes_on_the_features_that_are_asked_for(
    provider: AnthropicProvider, upstream: Upstream
) -> None:
    beta = "files-api-2025-04-14,context-management-2025-06-27"
    for dialect in ("chat", "messages"):
        call = ChatCall("m", {**HELLO, "max_tokens": 9}, dialect=dialect, beta=beta)
        await provider.send(Cleared(call, provider.destination))
    assert [headers["anthropic-beta"] for headers in upstream.headers] == [beta, beta]


async def test_it_lists_its_models_to_the_end(
    provider: AnthropicProvider, upstream: Upstream
) -> None:
    upstream.models = [f"claude-{number}" for number in range(5)]
    upstream.models_per_page = 2
    assert await provider.get_available_models() == upstream.models
    assert upstream.headers[0]["x-api-key"] == "a-provider-key"


async def test_a_refused_list_is_told_by_kind(
    provider: AnthropicProvider, upstream: Upstream
) -> None:
    upstream.catalogue = fails(401)
    with pytest.raises(UpstreamCredentialRefused):
        await provider.get_available_models()


def test_it_is_at_home_where_nothing_else_is_said() -> None:
    config = ProviderConfig.model_validate({"name": "a", "kind": "anthropic"})
    assert config.url == "https://api.anthropic.com/v1"
    assert config.traits.refuses == {"logprobs", "logit_bias", "n"}
