"""What every ``LanguageModel`` keeps: the scripted fake and the one that asks the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest

from agentcore.ace.errors import EvolutionAnswerLost, EvolutionModelUnknown
from agentcore.ace.gateway_model import GatewayLanguageModel
from agentcore.ace.ports import Completion, LanguageModel, PromptMessage
from agentcore.kit.errors import AgentCoreError, Unavailable
from agentcore.llm_gateway.errors import (
    UnknownModel,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTruncated,
)
from agentcore.llm_gateway.models import LLMRequest, LLMResponse, TokenUsage
from tests.fakes.language_model import ScriptedModel


class Answering:
    """A router that gives one answer and remembers what it was asked."""

    def __init__(self, answer: LLMResponse | AgentCoreError, gate: asyncio.Event | None) -> None:
        self._answer = answer
        self._gate = gate
        self.asked: list[LLMRequest] = []

    async def route_request(self, request: LLMRequest) -> LLMResponse:
        self.asked.append(request)
        if self._gate is not None:
            await self._gate.wait()
        if isinstance(self._answer, AgentCoreError):
            raise self._answer
        return self._answer


def answered(text: str, *, usage: TokenUsage | None = None) -> LLMResponse:
    return LLMResponse(
        content=text, provider="p", model="m", usage=usage, latency_ms=1, cost=Decimal("0.001")
    )


Build = Callable[[str | AgentCoreError, asyncio.Event | None], LanguageModel]


def scripted(answer: str | AgentCoreError, gate: asyncio.Event | None) -> LanguageModel:
    return ScriptedModel([answer], gate=gate)


def through_the_gateway(answer: str | AgentCoreError, gate: asyncio.Event | None) -> LanguageModel:
    reply = answer if isinstance(answer, AgentCoreError) else answered(answer)
    return GatewayLanguageModel(Answering(reply, gate), private=False)


ADAPTERS = pytest.mark.parametrize("build", [scripted, through_the_gateway])


async def ask(model: LanguageModel) -> Completion:
    return await model.complete(
        [PromptMessage("user", "hello")], model="m", max_tokens=16, trace_id="t"
    )


@ADAPTERS
async def test_an_answer_has_its_text_its_tokens_and_its_cost(build: Build) -> None:
    completion = await ask(build("hi", None))
    assert completion.text == "hi"
    assert completion.prompt_tokens >= 0
    assert completion.completion_tokens >= 0
    assert completion.cost_usd == Decimal("0.001")


@ADAPTERS
async def test_a_failure_is_an_error_of_ours(build: Build) -> None:
    with pytest.raises(Unavailable, match="down"):
        await ask(build(Unavailable("down"), None))


@ADAPTERS
async def test_a_call_can_be_given_up(build: Build) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ask(build("late", asyncio.Event()))


@pytest.mark.parametrize("private", [True, False])
async def test_the_gateway_is_asked_for_exactly_this_call(private: bool) -> None:
    router = Answering(answered("hi", usage=TokenUsage(7, 2, 9)), None)
    completion = await ask(GatewayLanguageModel(router, private=private))
    asked = router.asked[0]
    assert (asked.model, asked.max_tokens, asked.trace_id) == ("m", 16, "t")
    assert asked.messages == [{"role": "user", "content": "hello"}]
    assert asked.requires_privacy is private
    assert (completion.prompt_tokens, completion.completion_tokens) == (7, 2)


async def test_private_messages_are_asked_about_privately() -> None:
    router = Answering(answered("hi"), None)
    await GatewayLanguageModel(router, private=False).complete(
        [PromptMessage("user", "hello")], model="m", max_tokens=16, trace_id="t", private=True
    )
    assert router.asked[0].requires_privacy


async def test_a_model_that_nobody_serves_is_named_with_the_setting() -> None:
    with pytest.raises(EvolutionModelUnknown, match="'m'") as caught:
        await ask(through_the_gateway(UnknownModel("no provider serves the model 'm'"), None))
    assert "ACE_LLM_MODEL" in caught.value.hint


@pytest.mark.parametrize("lost", [UpstreamTimeout, UpstreamTruncated, UpstreamMalformed])
async def test_an_answer_that_was_lost_may_have_been_billed(lost: type[UpstreamError]) -> None:
    with pytest.raises(EvolutionAnswerLost, match="half an answer"):
        await ask(through_the_gateway(lost("half an answer"), None))
