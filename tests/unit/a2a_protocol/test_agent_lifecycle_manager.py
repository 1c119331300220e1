from __future__ import annotations

import pytest

from agentcore.a2a_protocol.agent_lifecycle_manager import AgentLifecycleManager, Promise
from agentcore.a2a_protocol.agent_registry import AgentRegistry
from agentcore.a2a_protocol.discovery import Wish
from agentcore.a2a_protocol.errors import (
    AgentIdOfNoTenant,
    AgentIdTaken,
    AgentNotFound,
    IllegalMove,
    InvalidParams,
    NotTheOwner,
)
from agentcore.a2a_protocol.hosting import HostedAgents, Hosting
from agentcore.a2a_protocol.models.agent import (
    STEPS,
    AgentHealth,
    AgentStatus,
    Move,
    moves_from,
)
from agentcore.a2a_protocol.models.agent_card import AgentCard
from agentcore.a2a_protocol.models.task import Owner
from agentcore.kit.db import Database
from agentcore.kit.errors import Unavailable
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import RecordingListener, ScriptedAgent, known_agents, principal
from tests.fakes.clock import ManualClock

ALICE = principal("alice")
BOB = principal("bob")
ADMIN = principal("root", scopes=("admin",))
EVE = principal("alice", "evil", scopes=("admin",))
# How an agent that was registered without being active gets to each state.
ROADS: dict[AgentStatus, tuple[Move, ...]] = {
    AgentStatus.REGISTERED: (),
    AgentStatus.ACTIVE: (Move.RESUME,),
    AgentStatus.DRAINING: (Move.RESUME, Move.DRAIN),
    AgentStatus.SUSPENDED: (Move.RESUME, Move.SUSPEND),
    AgentStatus.TERMINATED: (Move.TERMINATE,),
}


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


async def test_other_tenants_learn_nothing(
    known: AgentRegistry, agents: AgentLifecycleManager
) -> None:
    await agents.register(card("Poet", "rhyme"), ALICE, agent_id="poet")
    for refused in (
        agents.get("poet", EVE),
        agents.move("poet", Move.TERMINATE, EVE),
        agents.get("x", ALICE),
    ):
        with pytest.raises(AgentNotFound):
            await refused
    found = await known.directory.discover(Wish(), EVE, limit=10)
    listed = await agents.list(EVE, limit=10, cursor=None)
    assert (found.matches, listed.agents) == ((), ())


async def test_ids_that_end_with_their_tenant_tell_nothing_of_others(
    database: Database, supervisor: Supervisor, clock: ManualClock
) -> None:
    """Whether it is taken or not: a tenant cannot even ask for another one's id."""
    hosted = HostedAgents()
    hosted.add(Hosting(agent_id="the.cook", agent=ScriptedAgent()))
    before = known_agents(database, supervisor, clock, hosted=hosted)
    await before.agents.register(card(), ALICE, agent_id="old")
    known = known_agents(database, supervisor, clock, hosted=hosted, tenant_agent_ids=True)
    agents = known.agents
    assert (await agents.move("the.cook", Move.DRAIN, EVE)).agent_id == "the.cook.evil"
    await agents.register(card(), ALICE, agent_id="poet.acme")
    for name in (
        "poet.acme",
        "cook.acme",
        "old",
        "poet",
        "x.poet.evil",
        ".evil",
        "poet.",
        "poet.EVIL",
    ):
        refused = (
            agents.register(card(), EVE, agent_id=name),
            agents.ensure(name, EVE),
            agents.register_at("http://127.0.0.1:1/card", EVE, agent_id=name),
        )
        for each in refused:
            with pytest.raises(AgentIdOfNoTenant):
                await each
    await agents.register(card(), EVE, agent_id="poet.evil")
    assert (await agents.register(card(), EVE)).owner.tenant == "evil"
    await agents.ensure("cook.acme", ALICE)
    # One from before is the tenant's own, by its old id.
    changed = await agents.register(card("Bard"), ALICE, agent_id="old")
    assert (changed.agent_id, changed.name) == ("old", "Bard")
    await agents.ensure("old", ALICE)


async def test_termination(
    known: AgentRegistry, agents: AgentLifecycleManager, listener: RecordingListener
) -> None:
    await agents.register(card(), ALICE, agent_id="poet")
    with pytest.raises(NotTheOwner):
        await agents.move("poet", Move.TERMINATE, BOB)
    ended = await agents.move("poet", Move.TERMINATE, ADMIN)
    again = await agents.move("poet", Move.TERMINATE, ALICE)
    assert ended.status is again.status is AgentStatus.TERMINATED
    assert [event.agent_id for event in listener.terminated] == ["poet"]
    assert (await known.directory.discover(Wish(), ALICE, limit=10)).matches == ()
    assert len((await agents.list(ALICE, limit=10, cursor=None)).agents) == 1
    await agents.register(card(), ALICE, agent_id="poet")
    assert len(listener.registered) == 2


async def test_only_what_is_terminated_can_be_erased(
    agents: AgentLifecycleManager, listener: RecordingListener
) -> None:
    await agents.register(card(), ALICE, agent_id="poet")
    with pytest.raises(IllegalMove):
        await agents.erase("poet", ALICE)
    await agents.move("poet", Move.TERMINATE, ALICE)
    with pytest.raises(NotTheOwner):
        await agents.erase("poet", BOB)
    with pytest.raises(AgentNotFound):
        await agents.erase("poet", EVE)
    await agents.erase("poet", ALICE)
    told = [(event.agent_id, event.tenant) for event in listener.erased]
    assert told == [("poet", "acme")] * 2, "before and after"
    for _ in range(2):
        with pytest.raises(AgentNotFound):
            await agents.erase("poet", ALICE)
    assert (await agents.list(ALICE, limit=10, cursor=None)).agents == ()
    # Its id is free for anybody.
    await agents.register(card(), EVE, agent_id="poet")


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
    known: AgentRegistry, agents: AgentLifecycleManager, clock: ManualClock
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
        matches = await known.directory.discover(wish, ALICE, limit=2, cursor=next_match or None)
        found += [match.agent.agent_id for match in matches.matches]
        next_match = matches.next_cursor or ""
    assert (after, next_match) == ("", "")
    assert listed == ["p4", "p3", "p2", "p1", "p0"]
    assert found == ["p1", "p3", "p0", "p2", "p4"]


async def test_a_token_of_another_list(
    known: AgentRegistry, agents: AgentLifecycleManager, clock: ManualClock
) -> None:
    for number in range(2):
        await agents.register(card(), ALICE, agent_id=f"p{number}")
    page = await agents.list(ALICE, limit=1, cursor=None)
    with pytest.raises(InvalidParams):
        await known.directory.discover(Wish(), ALICE, limit=1, cursor=page.next_cursor)


@pytest.mark.parametrize("status", list(AgentStatus))
@pytest.mark.parametrize("move", list(Move))
async def test_every_move_from_every_state(
    agents: AgentLifecycleManager, listener: RecordingListener, status: AgentStatus, move: Move
) -> None:
    """What the table of the moves says happens, is logged and told; all else is refused."""
    await agents.register(card(), ALICE, agent_id="poet", promise=Promise(active=False))
    for before in ROADS[status]:
        await agents.move("poet", before, ALICE)
    told = len(listener.moved) + len(listener.terminated)
    step = STEPS[move]
    if status is step.after:
        assert (await agents.move("poet", move, ALICE)).status is status
        assert len(listener.moved) + len(listener.terminated) == told
    elif status in step.before:
        moved = await agents.move("poet", move, ALICE, reason="why")
        (event,) = [*listener.moved, *listener.terminated][told:]
        assert (moved.status, event.before, event.after) == (step.after, status, step.after)
        assert (await agents.log(moved))[0].reason == "why"
    else:
        with pytest.raises(IllegalMove, match=f"is {status.value}") as refused:
            await agents.move("poet", move, ALICE)
        assert refused.value.context == {"status": status.value}
    assert move in moves_from(status) or status not in step.before


async def test_registering_again_changes_the_card_and_not_the_state(
    agents: AgentLifecycleManager, listener: RecordingListener
) -> None:
    await agents.register(card(), ALICE, agent_id="poet")
    await agents.move("poet", Move.DRAIN, ALICE)
    again = await agents.register(card("Better poet"), ALICE, agent_id="poet")
    assert (again.name, again.status) == ("Better poet", AgentStatus.DRAINING)
    assert len(listener.registered) == 1


async def test_heartbeats_run_out_and_come_back(
    known: AgentRegistry, agents: AgentLifecycleManager, clock: ManualClock
) -> None:
    promise = Promise(heartbeat_seconds=30)
    made = await agents.register(card("P", "rhyme"), ALICE, agent_id="poet", promise=promise)
    assert made.health is AgentHealth.HEALTHY
    wish = Wish(capabilities=("rhyme",))
    for _ in range(3):
        clock.advance(29)
        heard = await agents.beat("poet", ALICE)
        assert (heard.health, heard.last_seen) == (AgentHealth.HEALTHY, clock.now())
    clock.advance(30)
    silent = await agents.get("poet", BOB)
    assert silent.health is AgentHealth.SILENT
    assert "no heartbeat since" in silent.health_reason
    assert (await known.directory.discover(wish, ALICE, limit=9)).matches == ()
    (found,) = (await known.directory.discover(wish, ALICE, limit=9, usable=False)).matches
    assert found.agent == silent
    assert (await agents.beat("poet", ADMIN)).health is AgentHealth.HEALTHY
    assert len((await known.directory.discover(wish, ALICE, limit=9)).matches) == 1
    with pytest.raises(NotTheOwner):
        await agents.beat("poet", BOB)
    await agents.move("poet", Move.TERMINATE, ALICE)
    with pytest.raises(IllegalMove, match="a heartbeat"):
        await agents.beat("poet", ALICE)


async def test_a_hosted_agent_is_each_tenants_own(
    database: Database, supervisor: Supervisor, clock: ManualClock
) -> None:
    hosted = HostedAgents()
    hosted.add(Hosting(agent_id="bard", agent=ScriptedAgent(), skills=({"id": "ode"},)))
    known = known_agents(database, supervisor, clock, hosted=hosted)
    agents, ode = known.agents, Wish(skills=("ode",))
    shown = await agents.get("bard", ALICE)
    assert (shown.handler, shown.health) == ("bard", AgentHealth.HEALTHY)
    with pytest.raises(NotTheOwner, match="the service"):
        await agents.move("bard", Move.SUSPEND, ALICE)
    moved = await agents.move("bard", Move.SUSPEND, ADMIN)
    assert (moved.agent_id, moved.handler, moved.skills) == ("bard.acme", "bard", ({"id": "ode"},))
    assert (await known.directory.discover(ode, ALICE, limit=9)).matches == ()
    assert (await known.directory.candidate("bard", ALICE)).status is AgentStatus.SUSPENDED
    (found,) = (await known.directory.discover(ode, EVE, limit=9)).matches
    assert (found.agent.agent_id, found.agent.status) == ("bard", AgentStatus.ACTIVE)
    with pytest.raises(NotTheOwner, match="the service"):
        await agents.move("bard.acme", Move.RESUME, ALICE)
    await agents.move("bard.acme", Move.RESUME, ADMIN)
    assert len((await known.directory.discover(ode, ALICE, limit=9)).matches) == 1
