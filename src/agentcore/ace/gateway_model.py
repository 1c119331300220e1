"""The evolution's model calls, made through AgentCore's own gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agentcore.ace.errors import EvolutionAnswerLost, EvolutionModelUnknown
from agentcore.ace.ports import Completion, PromptMessage
from agentcore.llm_gateway.errors import ANSWER_LOST, UnknownModel
from agentcore.llm_gateway.models import LLMRequest, LLMResponse

SUBJECT = "context-evolution"


class Router(Protocol):
    async def route_request(self, request: LLMRequest) -> LLMResponse: ...


class GatewayLanguageModel:
    """With ``private`` every call is private, not only those about private callers' traces."""

    def __init__(self, router: Router, *, private: bool) -> None:
        self._router = router
        self._private = private

    async def complete(
        self,
        messages: Sequence[PromptMessage],
        *,
        model: str,
        max_tokens: int,
        trace_id: str,
        private: bool = False,
    ) -> Completion:
        try:
            answer = await self._router.route_request(
                LLMRequest(
                    model=model,
                    messages=[
                        {"role": message.role, "content": message.content} for message in messages
                    ],
                    temperature=0.0,
                    max_tokens=max_tokens,
                    trace_id=trace_id,
                    requires_privacy=private or self._private,
                    priority="low",
                    subject=SUBJECT,
                    agent=SUBJECT,
                )
            )
        except UnknownModel as exc:
            raise EvolutionModelUnknown(model) from exc
        except ANSWER_LOST as exc:
            raise EvolutionAnswerLost(exc) from exc
        usage = answer.usage
        return Completion(
            text=answer.content,
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
            cost_usd=answer.cost,
        )
