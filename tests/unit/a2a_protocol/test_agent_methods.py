from __future__ import annotations

import pytest

from agentcore.a2a_protocol.agent_methods import register_agent_methods
from agentcore.a2a_protocol.agent_registry import AgentRegistry
from agentcore.a2a_protocol.dispatcher import Caller, MethodRegistry
from agentcore.a2a_protocol.errors import AgentNotFound, IllegalMove, InvalidParams
from agentcore.a2a_protocol.models.agent_card import LARGEST_CARD
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import at, known_agents, passed, principal
from tests.fakes.clock import ManualClock

CALLER = Caller(principal=principal())
EVE = Caller(principal=principal("eve", "evil", ("admin",)))
POET: JsonObject = {
    "name": "Poet",
    "capabilities": ["rhyme"],
    "skills": [{"id": "ode", "tags": ["verse"]}],
}


@pytest.fixture
def known(database: Database, supervisor: Supervisor, clock: ManualClock) -> AgentRegistry:
    return known_agents(database, supervisor, clock, agents_anywhere=False)


@pytest.fixture
def registry(known: AgentRegistry) -> MethodRegistry:
    methods = MethodRegistry()
    register_agent_methods(methods, known.agents, known.directory)
    return methods


async def test_agents_are_registered_and_discovered(registry: MethodRegistry) -> None:
    made = await registry.call(
        "agent.register", {"agent_card": POET, "agent_id": "poet", "source_agent": "x"}, CALLER
    )
    assert (at(made, "agent_id"), at(made, "status")) == ("poet", "active")
    wishes: list[JsonObject] = [
        {},
        {"capabilities": ["rhyme"]},
        {"skills": ["ode"]},
        {"tags": ["VERSE"]},
        {"text": "poet"},
    ]
    for wish in wishes:
        found = await registry.call("agent.discover", wish, CALLER)
        assert at(found, "agents", 0, "agent_id") == "poet"
    nothing = await registry.call("agent.discover", {"tags": ["ode"]}, CALLER)
    assert nothing == {"agents": [], "next_cursor": None}


async def test_an_agent_takes_itself_out_of_service(registry: MethodRegistry) -> None:
    asked: JsonObject = {"agent_card": POET, "agent_id": "poet", "active": False}
    waiting = await registry.call("agent.register", {**asked, "heartbeat_seconds": 60}, CALLER)
    assert at(waiting, "status") == "registered"
    one: JsonObject = {"agent_id": "poet"}
    for move, state in (("resume", "active"), ("drain", "draining"), ("suspend", "suspended")):
        moved = await registry.call(f"agent.{move}", {**one, "reason": "upgrade"}, CALLER)
        heard = await registry.call("agent.heartbeat", one, CALLER)
        assert at(moved, "status") == at(heard, "status") == state
    shown = await registry.call("agent.get", one, CALLER)
    assert (at(shown, "moves"), at(shown, "health")) == (["resume", "terminate"], "healthy")
    assert (at(shown, "events", 0, "what"), at(shown, "events", 0, "reason")) == (
        "suspended", "upgrade",
    )  # fmt: skip
    assert len(at(shown, "events")) == 4  # type: ignore[arg-type]  # a list
    with pytest.raises(IllegalMove, match="suspended"):
        await registry.call("agent.drain", one, CALLER)
    for method in ("get", "heartbeat", "resume", "drain", "suspend", "terminate"):
        with pytest.raises(AgentNotFound):
            await registry.call(f"agent.{method}", one, EVE)


NAMED: JsonObject = {"name": "x"}
WRONG: list[tuple[str, JsonObject]] = [
    ("agent.register", {}),
    ("agent.register", {"card_url": "http://127.0.0.1/card"}),
    ("agent.register", {"card_url": "file:///etc/passwd"}),
    ("agent.register", {"card_url": "http://x/card", "agent_card": NAMED}),
    ("agent.register", {"agent_card": {}}),
    ("agent.register", {"agent_card": NAMED, "agent_id": ""}),
    ("agent.register", {"agent_card": NAMED, "agent_id": "a/b"}),
    ("agent.register", {"agent_card": NAMED, "agent_id": "x" * 256}),
    ("agent.register", {"agent_card": NAMED, "heartbeat_seconds": 0}),
    ("agent.register", {"agent_card": NAMED, "heartbeat_seconds": "often"}),
    ("agent.register", {"agent_card": {**NAMED, "description": 7}}),
    ("agent.register", {"agent_card": {**NAMED, "x": "y" * LARGEST_CARD}}),
    ("agent.register", {"agent_card": {**NAMED, "skills": [{"id": "s", "tags": "t"}]}}),
    ("agent.register", {"agent_card": {**NAMED, "skills": [{"id": "s", "tags": ["t" * 256]}]}}),
    ("agent.discover", {"capabilities": "rhyme"}),
    ("agent.discover", {"limit": 0}),
    ("agent.discover", {"cursor": "x"}),
    ("agent.discover", {"tags": [""]}),
    ("agent.drain", {}),
    ("agent.drain", {"agent_id": "poet", "reason": "x" * 1025}),
    ("agent.get", {"agent_id": 5}),
]


async def test_wrong_params(registry: MethodRegistry) -> None:
    assert await passed(registry, WRONG, CALLER) == []


async def test_a_card_that_nests_too_deep(registry: MethodRegistry) -> None:
    deep: JsonValue = []
    for _ in range(40):
        deep = [deep]
    with pytest.raises(InvalidParams, match="nested deeper"):
        await registry.call("agent.register", {"agent_card": {**NAMED, "x": deep}}, CALLER)
