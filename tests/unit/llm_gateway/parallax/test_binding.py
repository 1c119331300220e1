from __future__ import annotations

import orjson
import pytest

from agentcore.kit.errors import InvalidInput
from agentcore.llm_gateway.errors import UnknownModel
from agentcore.llm_gateway.models import LLMRequest
from agentcore.llm_gateway.parallax.binding import BoundChatWire, DeployedModel
from agentcore.llm_gateway.providers.parallax import ParallaxProvider
from tests.fakes.llm_upstream import Upstream

NAME = "customer-service-router-v2"
CONFIG = {"max_tokens": 512, "temperature": 0.3, "priority": "high"}
PROMPT = "Route the ticket."
MESSAGES = [{"role": "user", "content": "My parcel is late."}]


async def test_a_name_stands_for_a_prompt_and_defaults(
    provider: ParallaxProvider, upstream: Upstream
) -> None:
    deployed = await provider.deploy_model(model_name=NAME, prompt=PROMPT, config=CONFIG)
    assert deployed.model == "Qwen/Qwen3-8B"
    assert provider.served_models() == ("Qwen/Qwen3-8B", NAME)
    await provider.complete(LLMRequest(model=NAME, messages=MESSAGES))
    [sent] = upstream.bodies
    assert sent["model"] == "Qwen/Qwen3-8B"
    assert sent["messages"] == [{"role": "system", "content": PROMPT}, *MESSAGES]
    assert (sent["max_tokens"], sent["temperature"]) == (512, 0.3)


async def test_nothing_is_told_to_the_cluster(
    provider: ParallaxProvider, upstream: Upstream
) -> None:
    await provider.deploy_model(NAME, PROMPT, {})
    assert upstream.bodies == []


async def test_a_name_goes_with_its_model(provider: ParallaxProvider, upstream: Upstream) -> None:
    await provider.deploy_model(NAME, PROMPT, {})
    upstream.tell(model_name="another")
    provider.cluster_manager._heard.at = None  # noqa: SLF001 - as if its status had come anew
    await provider.get_capacity()
    assert provider.upstream_model(NAME) is None
    assert provider.served_models() == ("another",)


async def test_what_the_caller_says_counts() -> None:
    bound = DeployedModel.of(NAME, "m", PROMPT, CONFIG)
    wire = BoundChatWire("cluster", {NAME: bound})
    asked = LLMRequest(model=NAME, messages=MESSAGES, max_tokens=9, temperature=0.0)
    sent = orjson.loads(wire.request(asked.call(), "m"))
    assert (sent["max_tokens"], sent["temperature"]) == (9, 0.0)
    other = orjson.loads(wire.request(LLMRequest(model="m", messages=MESSAGES).call(), "m"))
    assert other["messages"] == MESSAGES


@pytest.mark.parametrize(
    "config", [{"max_tokens": 0}, {"temperature": 3}, {"priority": "urgent"}, {"gpu": 1}]
)
async def test_nonsense_is_refused_by_name(
    provider: ParallaxProvider, config: dict[str, object]
) -> None:
    with pytest.raises(InvalidInput, match=next(iter(config))):
        await provider.deploy_model(NAME, PROMPT, config)


async def test_a_cluster_without_a_model_has_nothing_to_stand_for(
    provider: ParallaxProvider, upstream: Upstream
) -> None:
    upstream.tell(model_name="", status="waiting")
    with pytest.raises(UnknownModel):
        await provider.deploy_model(NAME, PROMPT, {})
