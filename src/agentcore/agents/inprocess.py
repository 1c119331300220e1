"""An agent's doors when it runs inside AgentCore: the gateway, the methods, the playbooks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from agentcore.a2a_protocol.dispatcher import Caller, MethodRegistry
from agentcore.ace.errors import PlaybookNotFound
from agentcore.ace.models import ContextPlaybook, RenderedContext
from agentcore.agents.ports import Messages, Rendered, Thought
from agentcore.kit.errors import NotFound
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal
from agentcore.llm_gateway.models import LLMRequest, LLMResponse, Priority
from agentcore.llm_gateway.terms import terms_of

REPLY_TOKENS = 400


class Router(Protocol):
    async def route_request(self, request: LLMRequest) -> LLMResponse: ...


class Contexts(Protocol):
    """The part of the context manager that an agent reads from."""

    async def render(
        self,
        agent_id: str,
        task_text: str = "",
        token_budget: int = 2000,
        *,
        task_id: str = "",
        principal: Principal | None = None,
    ) -> RenderedContext: ...

    async def create_playbook(
        self, agent_id: str, initial_context: JsonObject, *, principal: Principal | None = None
    ) -> ContextPlaybook: ...


class GatewayMind:
    """Thinks as its caller: the caller's tenant pays, its key's terms hold, and a private caller
    stays private. ``agent`` is who it is said to be on the ledger.
    """

    def __init__(
        self,
        router: Router,
        principal: Principal,
        model: str,
        agent: str = "",
        *,
        priority: Priority = "medium",
        traceparent: str = "",
    ) -> None:
        self._priority: Priority = priority
        self._traceparent = traceparent
        self._router = router
        self._principal = principal
        self._model = model
        self._agent = agent

    async def think(self, messages: Messages, *, trace_id: str) -> Thought:
        self._principal.require("llm")
        answer = await self._router.route_request(
            LLMRequest(
                model=self._model,
                messages=messages,
                temperature=0.0,
                max_tokens=REPLY_TOKENS,
                trace_id=trace_id,
                traceparent=self._traceparent,
                requires_privacy=self._principal.private,
                priority=self._priority,
                tenant=self._principal.tenant,
                subject=self._principal.subject,
                key_id=self._principal.key_id or "",
                agent=self._agent,
                terms=terms_of(self._principal),
            )
        )
        return Thought(
            text=answer.content,
            tokens=answer.usage.total_tokens if answer.usage else 0,
            cost_usd=answer.cost,
            provider=answer.provider,
        )


class MethodWorld:
    """Acts by AgentCore's JSON-RPC methods, with the caller's rights."""

    def __init__(self, registry: MethodRegistry, principal: Principal) -> None:
        self._registry = registry
        self._caller = Caller(principal=principal)

    async def call(self, method: str, params: JsonObject) -> JsonObject:
        result = await self._registry.call(method, params, self._caller)
        return result if isinstance(result, dict) else {"result": result}


class OwnPlaybooks:
    """Playbooks of the caller's tenant; the first look makes an empty one."""

    def __init__(self, contexts: Contexts, principal: Principal) -> None:
        self._contexts = contexts
        self._principal = principal

    async def render(self, agent_id: str, task: str, *, task_id: str = "") -> Rendered:
        look = partial(
            self._contexts.render, agent_id, task, task_id=task_id, principal=self._principal
        )
        try:
            found = await look()
        except PlaybookNotFound:
            await self._contexts.create_playbook(agent_id, {}, principal=self._principal)
            found = await look()
        return Rendered(text=found.text, stamp=found.stamp.as_json())


class HandedPlaybooks:
    """What an agent of the caller's tenant works by, for those to whom it hands a task on."""

    def __init__(self, contexts: Contexts, known_as: Callable[[str, str], str]) -> None:
        """``known_as`` is the id of an agent as a tenant knows it."""
        self._contexts = contexts
        self._known_as = known_as

    async def of(self, agent_id: str, task: str, principal: Principal) -> JsonObject | None:
        named = self._known_as(agent_id, principal.tenant)
        try:
            found = await self._contexts.render(named, task, principal=principal)
        except NotFound:
            return None
        return {"text": found.text, "stamp": found.stamp.as_json()}
