from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text

from agentcore.a2a_protocol.discovery import Match, Wish, rank
from agentcore.a2a_protocol.models.agent import STEPS, AgentHealth, AgentRecord, AgentStatus, Move
from agentcore.a2a_protocol.models.task import Owner
from agentcore.a2a_protocol.registry.store import RegistryStore
from agentcore.a2a_protocol.store import AgentStore, Entry, agent_values
from agentcore.a2a_protocol.store import agents as rows
from agentcore.kit.db import Database
from agentcore.kit.ids import Ids
from tests.unit.a2a_protocol.test_discovery import NOW, agent

BORN = Entry(what="registered", by="alice", at=NOW)
NAMES = ("rhyme", "Count", "ode", "straße", "x_y", "İ", "long " * 20)


@pytest.fixture
def store(database: Database) -> RegistryStore:
    return RegistryStore(database)


@pytest.fixture
def agents(database: Database) -> AgentStore:
    return AgentStore(database)


async def filled(agents: AgentStore, records: Sequence[AgentRecord]) -> None:
    for record in records:
        await agents.put(record, BORN)


def ids(matches: Sequence[Match]) -> list[str]:
    return [match.agent.agent_id for match in matches]


names = st.sampled_from(NAMES)
some = st.lists(names, max_size=3).map(tuple)
described = st.builds(
    agent,
    # Languages sort them otherwise than computers do.
    st.sampled_from(("a", "B", "ä", "_", "-")),
    name=names,
    description=st.lists(names, max_size=4).map(" ".join),
    skills=st.lists(
        st.fixed_dictionaries({"id": names, "tags": st.lists(names, max_size=2)}), max_size=2
    ).map(tuple),
)
wishes = st.builds(
    Wish,
    capabilities=some,
    skills=some,
    tags=some,
    text=st.lists(names, max_size=2).map(" ".join),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(described, min_size=4, max_size=8),
    asked=st.lists(wishes, min_size=1, max_size=3),
    limit=st.integers(2, 4),
)
async def test_the_search_ranks_like_the_ranking(
    database: Database, records: list[AgentRecord], asked: list[Wish], limit: int
) -> None:
    """The same agents in the same order with the same scores, over as many pages as it takes."""
    store, tenant = RegistryStore(database), str(Ids().new())
    owner = Owner(tenant=tenant, subject="alice")
    mine = [
        replace(each, owner=owner, agent_id=f"{each.agent_id}{number}-{tenant}")
        for number, each in enumerate(records)
    ]
    await database.write(insert(rows).values([agent_values(each) for each in mine]))
    for wish in asked:
        expected = [(match.agent.agent_id, match.score) for match in rank(mine, wish)]
        found: list[Match] = []
        while page := await store.search(
            tenant, wish, NOW, limit=limit, after=found[-1].order if found else None
        ):
            found += page
        assert [(match.agent.agent_id, match.score) for match in found] == expected


async def test_only_the_tenants_own_that_are_in_service_are_found(
    store: RegistryStore, agents: AgentStore
) -> None:
    theirs = replace(agent("theirs", "x"), owner=replace(agent("x").owner, tenant="evil"))
    away = replace(agent("away", "x"), health=AgentHealth.UNHEALTHY)
    silent = replace(agent("silent", "x"), heartbeat_seconds=1.0, expires_at=NOW)
    beating = replace(silent, agent_id="beating", expires_at=NOW + timedelta(seconds=1))
    handled = replace(agent("handled", "x"), handler="other")
    idle = replace(agent("idle", "x"), status=AgentStatus.REGISTERED)
    await filled(agents, [agent("poet", "x"), theirs, away, silent, beating, handled, idle])
    wish = Wish(capabilities=("X",))
    found = await store.search("acme", wish, NOW, limit=9)
    assert ids(found) == ["beating", "poet"]
    assert found[0].agent.health is AgentHealth.HEALTHY
    every = await store.search("acme", wish, NOW, limit=9, usable=False)
    assert ids(every) == ["away", "beating", "poet", "silent"]
    assert every[-1].agent.health is AgentHealth.SILENT
    assert await store.search("evil", Wish(), NOW, limit=9) != []
    counted = await store.census(NOW)
    assert counted[AgentStatus.ACTIVE, AgentHealth.SILENT] == 1
    assert counted[AgentStatus.ACTIVE, AgentHealth.HEALTHY] == 1
    assert counted[AgentStatus.ACTIVE, AgentHealth.UNHEALTHY] == 1
    assert counted[AgentStatus.REGISTERED, AgentHealth.UNKNOWN] == 1


async def test_a_search_for_much(store: RegistryStore, agents: AgentStore) -> None:
    """As much as a caller may ask for at once."""
    many = tuple(f"{number}-{'n' * 250}" for number in range(100))
    wish = Wish(capabilities=many, skills=many, tags=many, text=" ".join(many)[:4096])
    await filled(agents, [agent("poet", *many)])
    assert await store.search("acme", wish, NOW, limit=9) == []
    assert ids(await store.search("acme", Wish(capabilities=many), NOW, limit=9)) == ["poet"]


async def test_agents_of_an_earlier_version_are_indexed(
    database: Database, store: RegistryStore, agents: AgentStore
) -> None:
    await filled(agents, [agent("poet", "rhyme"), agent("cook", "boil")])
    async with database.begin() as connection:
        await connection.execute(text("UPDATE agents SET terms = NULL"))
    wish = Wish(capabilities=("rhyme",))
    assert await store.search("acme", wish, NOW, limit=9) == []
    assert await store.fill_terms() == 2
    assert await store.fill_terms() == 0
    assert ids(await store.search("acme", wish, NOW, limit=9)) == ["poet"]


async def test_a_log_holds_what_has_happened_and_forgets_what_is_old(
    store: RegistryStore, agents: AgentStore
) -> None:
    await filled(agents, [agent("poet")])
    later = NOW + timedelta(days=1)
    untold = Entry(what="draining", by="bob", at=later, reason="upgrade", tell_at=later)
    moved = await agents.move("poet", STEPS[Move.DRAIN], untold)
    assert moved is not None
    assert await agents.move("poet", STEPS[Move.DRAIN], untold) is None
    assert await agents.move("nobody", STEPS[Move.DRAIN], untold) is None
    drained, born = await agents.log("poet", 9)
    assert (drained.before, drained.after, drained.by) == ("active", "draining", "bob")
    assert (born.what, born.before, born.after) == ("registered", "", "active")
    ((told, known),) = await store.untold(later, later + timedelta(seconds=60), 9)
    assert (told.event_id, known.agent_id) == (moved[1], "poet")
    assert await store.untold(later, later, 9) == [], "it is somebody's already"
    await store.prune(later + timedelta(days=1))
    assert [each.what for each in await agents.log("poet", 9)] == ["draining"]
    await agents.told(moved[1])
    await store.prune(later + timedelta(days=1))
    assert await agents.log("poet", 9) == []
