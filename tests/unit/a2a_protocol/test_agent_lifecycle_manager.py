from __future__ import annotations

import pytest

from agentcore.a2a_protocol.agent_lifecycle_manager import AgentLifecycleManager
from agentcore.a2a_protocol.discovery import Wish
from agentcore.a2a_protocol.errors import (
    AgentIdTaken,
    AgentNotFound,
    InvalidParams,
    NotTheOwner,
)
from agentcore.a2a_protocol.hosting import HostedAgents
from agentcore.a2a_protocol.models.agent_card import AgentCard, AgentStatus
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.store import AgentStore
from agentcore.kit.db import Database
from agentcore.kit.errors import Unavailable
from agentcore.kit.ids import Ids
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import RecordingListener, principal
from tests.fakes.clock import ManualClock

ALICE = principal("alice")
BOB = principal("bob")
ADMIN = principal("root", scopes=("admin",))
EVE = principal("alice", "evil", scopes=("admin",))


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
def agents(
    database: Database, supervisor: Supervisor, clock: ManualClock, listener: RecordingListener
) -> AgentLifecycleManager:
    return AgentLifecycleManager(
        AgentStore(database),
        hosted=HostedAgents(),
        listeners=(listener, RecordingListener()),
        supervisor=supervisor,
        clock=clock,
        ids=Ids(),
    )


def card(name: str = "Poet", *capabilities: str) -> AgentCard:
    return AgentCard.model_validate({"name": name, "capabilities": list(capabilities), "x-own": 1})


async def test_a_registered_agent_is_known_to_its_tenant(
    agents: AgentLifecycleManager, listener: RecordingListener
) -> None:
    stored = await agents.register(card("Poet", "rhyme"), ALICE, agent_id="poet")
    assert await agents.get("poet", ALICE) == await agents.get("poet", BOB) == stored
    assert stored.card == {"name": "Poet", "capabilities": ["rhyme"], "x-own": 1}
    assert await agents.owner("poet") == Owner(tenant="acme", subject="alice")
    (event,) = listener.registered
    assert (event.agent_id, event.tenant, event.owner) == ("poet", "acme", "alice")
    assert event.capabilities == ("rhyme",)


async def test_an_agent_without_an_id_gets_one(agents: AgentLifecycleManager) -> None:
    first, second = await agents.register(card(), ALICE), await agents.register(card(), ALICE)
    assert first.agent_id != second.agent_id


async def test_the_owner_may_register_again(
    agents: AgentLifecycleManager, listener: RecordingListener, clock: ManualClock
) -> None:
    before = await agents.register(card(), ALICE, agent_id="poet")
    clock.advance(5)
    after = await agents.register(card("Better poet"), ALICE, agent_id="poet")
    assert after.created_at == before.created_at < after.updated_at
    assert len(listener.registered) == 1
    for stranger in (BOB, EVE):
        with pytest.raises(AgentIdTaken):
            await agents.register(card(), stranger, agent_id="poet")


async def test_other_tenants_learn_nothing(agents: AgentLifecycleManager) -> None:
    await agents.register(card("Poet", "rhyme"), ALICE, agent_id="poet")
    for refused in (agents.get("poet", EVE), agents.terminate("poet", EVE), agents.get("x", ALICE)):
        with pytest.raises(AgentNotFound):
            await refused
    found = await agents.discover(Wish(), EVE, limit=10, cursor=None)
    listed = await agents.list(EVE, limit=10, cursor=None)
    assert (found.matches, listed.agents) == ((), ())


async def test_termination(agents: AgentLifecycleManager, listener: RecordingListener) -> None:
    await agents.register(card(), ALICE, agent_id="poet")
    with pytest.raises(NotTheOwner):
        await agents.terminate("poet", BOB)
    ended = await agents.terminate("poet", ADMIN)
    again = await agents.terminate("poet", ALICE)
    assert ended.status is again.status is AgentStatus.TERMINATED
    assert [event.agent_id for event in listener.terminated] == ["poet"]
    assert (await agents.discover(Wish(), ALICE, limit=10, cursor=None)).matches == ()
    assert len((await agents.list(ALICE, limit=10, cursor=None)).agents) == 1
    await agents.register(card(), ALICE, agent_id="poet")
    assert len(listener.registered) == 2


async def test_ensuring_makes_an_agent_of_an_id(
    agents: AgentLifecycleManager, listener: RecordingListener
) -> None:
    await agents.ensure("agent 7/ü", ALICE)
    await agents.ensure("agent 7/ü", EVE)
    assert await agents.owner("agent 7/ü") == Owner(tenant="acme", subject="alice")
    assert await agents.owner("nobody") is None
    assert len(listener.registered) == 1


async def test_a_listener_that_fails_undoes_nothing(
    agents: AgentLifecycleManager, listener: RecordingListener
) -> None:
    listener.error = Unavailable("no playbook today")
    stored = await agents.register(card(), ALICE, agent_id="poet")
    assert await agents.get("poet", ALICE) == stored


async def test_pages_hold_everything_once(
    agents: AgentLifecycleManager, clock: ManualClock
) -> None:
    for number in range(5):
        clock.advance(1)
        able = ("rhyme", "count") if number % 2 else ("rhyme",)
        await agents.register(card("P", *able), ALICE, agent_id=f"p{number}")
    wish = Wish(capabilities=("rhyme", "count"))
    listed: list[str] = []
    found: list[str] = []
    after, next_match = "", ""
    for _ in range(3):
        page = await agents.list(ALICE, limit=2, cursor=after or None)
        listed += [agent.agent_id for agent in page.agents]
        after = page.next_cursor or ""
        matches = await agents.discover(wish, ALICE, limit=2, cursor=next_match or None)
        found += [match.agent.agent_id for match in matches.matches]
        next_match = matches.next_cursor or ""
    assert (after, next_match) == ("", "")
    assert listed == ["p4", "p3", "p2", "p1", "p0"]
    assert found == ["p1", "p3", "p0", "p2", "p4"]


async def test_a_token_of_another_list(agents: AgentLifecycleManager, clock: ManualClock) -> None:
    for number in range(2):
        await agents.register(card(), ALICE, agent_id=f"p{number}")
    page = await agents.list(ALICE, limit=1, cursor=None)
    with pytest.raises(InvalidParams):
        await agents.discover(Wish(), ALICE, limit=1, cursor=page.next_cursor)
