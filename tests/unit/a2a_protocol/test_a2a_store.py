from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agentcore.a2a_protocol.errors import AgentIdTaken
from agentcore.a2a_protocol.models.agent_card import AgentRecord, AgentStatus
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.store import AgentStore
from agentcore.kit.db import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = Owner(tenant="acme", subject="alice")
BOB = Owner(tenant="acme", subject="bob")
EVE = Owner(tenant="evil", subject="alice")


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
    assert await agents.put(agent()) == (agent(), True)
    assert await agents.find("a1") == agent()
    assert await agents.find("a2") is None
    plain = agent("a2", endpoint=None, card=None)
    await agents.put(plain)
    assert await agents.find("a2") == plain


async def test_an_owner_replaces_an_agent_and_nobody_else_does(agents: AgentStore) -> None:
    await agents.put(agent())
    later = NOW + timedelta(hours=1)
    stored, appeared = await agents.put(agent(name="B", created_at=later, updated_at=later))
    assert (stored.name, stored.created_at, appeared) == ("B", NOW, False)
    for stranger in (BOB, EVE):
        with pytest.raises(AgentIdTaken):
            await agents.put(agent(owner=stranger))
    assert not await agents.ensure(agent(owner=EVE))
    assert await agents.ensure(agent("a2"))


async def test_an_ended_agent_may_come_back(agents: AgentStore) -> None:
    await agents.put(agent())
    ended = await agents.terminate("a1", NOW)
    assert ended is not None
    assert ended.status is AgentStatus.TERMINATED
    assert await agents.terminate("a1", NOW) is None
    assert await agents.active("acme") == []
    _, appeared = await agents.put(agent())
    assert appeared


async def test_lists_hold_the_tenants_agents(agents: AgentStore) -> None:
    for number in range(3):
        await agents.put(agent(f"a{number}", created_at=NOW + timedelta(seconds=number)))
    await agents.put(agent("foreign", EVE))
    await agents.terminate("a0", NOW)
    assert [each.agent_id for each in await agents.active("acme")] == ["a1", "a2"]
    page = await agents.page("acme", limit=2, after=None)
    assert [each.agent_id for each in page] == ["a2", "a1"]
    rest = await agents.page("acme", limit=2, after=(page[-1].created_at, page[-1].agent_id))
    assert [each.agent_id for each in rest] == ["a0"]
