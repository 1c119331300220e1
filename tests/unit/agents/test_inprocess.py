from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import BaseModel

from agentcore.a2a_protocol.dispatcher import CallContext, MethodRegistry
from agentcore.ace.errors import PlaybookNotFound
from agentcore.ace.models import ContextPlaybook, PlaybookStamp, RenderedContext
from agentcore.agents.inprocess import GatewayMind, HandedPlaybooks, MethodWorld, OwnPlaybooks
from agentcore.agents.playbook_agent import AGENT_ID
from agentcore.kit.errors import Forbidden
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.security import Principal
from agentcore.llm_gateway.models import LLMRequest, LLMResponse, TokenUsage
from agentcore.llm_gateway.terms import KeyHolder, Terms
from tests.fakes.a2a import at

PRIVATE = Principal(subject="ann", tenant="acme", scopes=frozenset({"a2a", "llm"}), private=True)


class Echo:
    def __init__(self) -> None:
        self.asked: list[LLMRequest] = []

    async def route_request(self, request: LLMRequest) -> LLMResponse:
        self.asked.append(request)
        return LLMResponse(
            content="yes",
            provider="cluster",
            model=request.model,
            usage=TokenUsage(3, 4, 7),
            latency_ms=1.0,
            cost=Decimal("0.5"),
        )


async def test_the_mind_asks_for_its_caller_and_as_privately() -> None:
    router = Echo()
    thought = await GatewayMind(router, PRIVATE, "m").think(
        [{"role": "user", "content": "?"}], trace_id="t"
    )
    assert (thought.text, thought.tokens, thought.cost_usd) == ("yes", 7, Decimal("0.5"))
    asked = router.asked[0]
    assert (asked.requires_privacy, asked.tenant, asked.subject) == (True, "acme", "ann")


async def test_the_terms_of_its_callers_key_hold_for_the_mind() -> None:
    router = Echo()
    terms = Terms(models=("m",), ceiling=2)
    caller = KeyHolder(
        subject="ann", tenant="acme", scopes=frozenset({"llm"}), key_id="k1", terms=terms
    )
    place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    mind = GatewayMind(router, caller, "m", "planner", traceparent=place)
    await mind.think([], trace_id="t")
    asked = router.asked[0]
    assert asked.call().traceparent == place
    assert (asked.key_id, asked.agent, asked.terms) == ("k1", "planner", terms)
    assert asked.call().priority == "low"


async def test_who_may_not_ask_models_may_not_ask_them_through_an_agent() -> None:
    router = Echo()
    caller = Principal(subject="ann", tenant="acme", scopes=frozenset({"a2a"}))
    with pytest.raises(Forbidden, match="'llm'"):
        await GatewayMind(router, caller, "m").think([], trace_id="t")
    assert router.asked == []


class Word(BaseModel):
    word: str


async def test_the_world_has_the_rights_of_its_caller_and_no_more() -> None:
    registry = MethodRegistry()

    async def shout(params: Word, context: CallContext) -> JsonObject:
        return {"said": params.word.upper(), "by": context.principal.subject}

    registry.add("test.shout", Word, shout, scope="a2a")
    registry.add("test.rule", Word, shout, scope="admin")
    world = MethodWorld(registry, PRIVATE)
    assert await world.call("test.shout", {"word": "hi"}) == {"said": "HI", "by": "ann"}
    with pytest.raises(Forbidden):
        await world.call("test.rule", {"word": "hi"})


class OneContext:
    def __init__(self) -> None:
        self.made: list[tuple[str, Principal | None]] = []

    async def render(
        self,
        agent_id: str,
        task_text: str = "",
        token_budget: int = 2000,
        *,
        task_id: str = "",
        principal: Principal | None = None,
    ) -> RenderedContext:
        if not self.made:
            raise PlaybookNotFound(agent_id)
        stamp = PlaybookStamp(playbook_id="p", version=1, bullets=(), hash="h", arm=task_id)
        return RenderedContext(text="text", tokens=1, stamp=stamp)

    async def create_playbook(
        self, agent_id: str, initial_context: JsonObject, *, principal: Principal | None = None
    ) -> ContextPlaybook:
        self.made.append((agent_id, principal))
        now = "2026-01-01T00:00:00Z"
        return ContextPlaybook.model_validate(
            {
                "playbook_id": "p",
                "agent_id": agent_id,
                "version": 1,
                "content": {},
                "created_at": now,
                "updated_at": now,
            }
        )


async def test_the_first_look_makes_the_callers_playbook() -> None:
    contexts = OneContext()
    rendered = await OwnPlaybooks(contexts, PRIVATE).render("agent.acme", "task", task_id="task-1")
    assert contexts.made == [("agent.acme", PRIVATE)]
    assert rendered.text == "text"
    assert rendered.stamp is not None
    assert (rendered.stamp["version"], rendered.stamp["arm"]) == (1, "task-1")


async def test_an_agent_that_has_no_playbook_hands_none_on() -> None:
    contexts = OneContext()
    handed = HandedPlaybooks(contexts, "{0}.{1}".format)
    assert await handed.of(AGENT_ID, "task", PRIVATE) is None
    contexts.made.append(("known", PRIVATE))
    found = await handed.of(AGENT_ID, "task", PRIVATE)
    assert found is not None
    assert (found["text"], at(found, "stamp", "version")) == ("text", 1)
