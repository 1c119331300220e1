from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agentcore.a2a_protocol.errors import AgentIdTaken, TooManyAgents
from agentcore.a2a_protocol.models.agent import STEPS, AgentRecord, AgentStatus, Move
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.store import AgentStore, Entry
from agentcore.kit.db import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = Owner(tenant="acme", subject="alice")
BOB = Owner(tenant="acme", subject="bob")
EVE = Owner(tenant="evil", subject="alice")
BORN = Entry(what="registered", by="alice", at=NOW)
ENDED = Entry(what="terminated", by="alice", at=NOW)
END = STEPS[Move.TERMINATE]


def agent(agent_id: str = "a1", owner: Owner = ALICE, **changes: object) -> AgentRecord:
    record = AgentRecord(
        agent_id=agent_id,
        owner=owner,
        name="A",
        version="1",
        status=AgentStatus.ACTIVE,
        description="d",
        capabilities=("x", "y"),
        skills=({"id": "s"},),
        created_at=NOW,
        updated_at=NOW,
        last_seen=NOW,
        endpoint={"url": "http://a"},
        card={"name": "A"},
        metadata={"k": 1},
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # named by each test


@pytest.fixture
def agents(database: Database) -> AgentStore:
    return AgentStore(database)


async def test_an_agent_comes_back_as_it_was_written(agents: AgentStore) -> None:
    stored, event_id = await agents.put(agent(), BORN)
    assert stored == agent()
    assert event_id is not None
    assert await agents.find("a1") == agent()
    assert await agents.find("a2") is None
    plain = agent("a2", endpoint=None, card=None)
    await agents.put(plain, BORN)
    assert await agents.find("a2") == plain


async def test_an_owner_replaces_an_agent_and_nobody_else_does(agents: AgentStore) -> None:
    await agents.put(agent(), BORN)
    later = NOW + timedelta(hours=1)
    changed = agent(name="B", created_at=later, updated_at=later)
    stored, event_id = await agents.put(changed, BORN)
    assert (stored.name, stored.created_at, event_id) == ("B", NOW, None)
    for stranger in (BOB, EVE):
        with pytest.raises(AgentIdTaken):
            await agents.put(agent(owner=stranger), BORN)
    assert await agents.ensure(agent(owner=EVE), BORN) is None
    assert await agents.ensure(agent("a2"), BORN)


async def test_an_ended_agent_may_come_back(agents: AgentStore) -> None:
    await agents.put(agent(), BORN)
    ended = await agents.move("a1", END, ENDED)
    assert ended is not None
    assert ended[0].status is AgentStatus.TERMINATED
    assert await agents.move("a1", END, ENDED) is None
    assert await agents.active("acme") == []
    _, event_id = await agents.put(agent(), BORN)
    assert event_id is not None


async def test_a_tenant_has_only_so_many_agents(database: Database) -> None:
    few = AgentStore(database, most_agents=2)
    await few.put(agent("a1"), BORN)
    added = [
        few.put(agent("a2"), BORN),
        few.ensure(agent("a3", BOB), BORN),
        few.put(agent("a4"), BORN),
    ]
    ends = await asyncio.gather(*added, return_exceptions=True)
    refused = [end for end in ends if isinstance(end, TooManyAgents)]
    assert len(refused) == 2, "those who come at the same moment are counted, too"
    await few.move("a1", END, ENDED)
    with pytest.raises(TooManyAgents, match="has 2 agents"):
        await few.put(agent("a5"), BORN)
    # What is there may change and come back; others, and agents of the service, have room.
    await few.put(agent("a1", name="B"), BORN)
    await few.put(agent("e1", EVE), BORN)
    assert await few.ensure(agent("hosted.acme", handler="hosted"), BORN)


async def test_lists_hold_the_tenants_agents(agents: AgentStore) -> None:
    for number in range(3):
        await agents.put(agent(f"a{number}", created_at=NOW + timedelta(seconds=number)), BORN)
    await agents.put(agent("foreign", EVE), BORN)
    await agents.move("a0", END, ENDED)
    assert [each.agent_id for each in await agents.active("acme")] == ["a1", "a2"]
    page = await agents.page("acme", limit=2, after=None)
    assert [each.agent_id for each in page] == ["a2", "a1"]
    rest = await agents.page("acme", limit=2, after=(page[-1].created_at, page[-1].agent_id))
    assert [each.agent_id for each in rest] == ["a0"]
