"""Draining to its end, whoever watches; what else is seen to from time to time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from agentcore.a2a_protocol.agent_registry import AgentRegistry
from agentcore.a2a_protocol.hosting import HostedAgents, Hosting
from agentcore.a2a_protocol.metrics import RegistryMetrics
from agentcore.a2a_protocol.models.agent import AgentHealth, AgentStatus, Move
from agentcore.a2a_protocol.models.task import TaskRecord, TaskState
from agentcore.a2a_protocol.registry.upkeep import SETTLED, TEND_SECONDS
from agentcore.a2a_protocol.tasks.snapshot import numbered, status_event
from agentcore.a2a_protocol.tasks.store import VersionedTaskStore
from agentcore.a2a_protocol.tasks.writes.store import Beginning, Change
from agentcore.kit.db import Database
from agentcore.kit.supervisor import Supervisor
from tests.fakes.a2a import RecordingListener, ScriptedAgent, known_agents, principal
from tests.fakes.a2a_tasks import begin, record
from tests.fakes.clock import ManualClock
from tests.unit.a2a_protocol.conftest import PATIENCE
from tests.unit.a2a_protocol.test_agent_lifecycle_manager import card

ALICE = principal("alice")
ADMIN = principal("root", scopes=("admin",))


@pytest.fixture
def tasks(database: Database) -> VersionedTaskStore:
    return VersionedTaskStore(database)


def new(task_id: str) -> Beginning:
    return Beginning(record=record(task_id), key=None, message=b"{}", event=b"{}")


async def become(tasks: VersionedTaskStore, task: TaskRecord, state: TaskState) -> TaskRecord:
    event = status_event(task.body, state, task.updated_at)
    after = replace(task, version=task.version + 1, state=state)
    assert await tasks.append(Change(record=after, events=[numbered(after.version, event)]))
    return after


async def status(known: AgentRegistry, agent_id: str = "poet") -> AgentStatus:
    return (await known.agents.get(agent_id, ALICE)).status


async def test_draining_lets_tasks_end_and_then_rests(
    known: AgentRegistry,
    tasks: VersionedTaskStore,
    clock: ManualClock,
    listener: RecordingListener,
) -> None:
    await known.agents.register(card(), ALICE, agent_id="poet")
    task = await begin(tasks, record("t1"))
    await known.agents.move("poet", Move.DRAIN, ALICE)
    clock.advance(10 * PATIENCE)
    await known.upkeep.tend()
    assert await status(known) is AgentStatus.DRAINING, "however long it runs"
    assert not await tasks.begin(new("t2"))
    await become(tasks, task, TaskState.COMPLETED)
    await known.upkeep.tend()
    assert await status(known) is AgentStatus.SUSPENDED
    assert [event.after for event in listener.moved] == [
        AgentStatus.DRAINING,
        AgentStatus.SUSPENDED,
    ]
    last = (await known.agents.log(await known.agents.get("poet", ALICE)))[0]
    assert (last.by, last.reason) == ("agentcore", "its tasks have ended")


async def test_a_task_that_waits_for_its_client_does_not_hold_up_for_ever(
    known: AgentRegistry, tasks: VersionedTaskStore, clock: ManualClock
) -> None:
    await known.agents.register(card(), ALICE, agent_id="poet")
    await become(tasks, await begin(tasks, record("t1")), TaskState.INPUT_REQUIRED)
    await known.agents.move("poet", Move.DRAIN, ALICE)
    clock.advance(PATIENCE)
    await known.upkeep.tend()
    assert await status(known) is AgentStatus.DRAINING
    clock.advance(1)
    await known.upkeep.tend()
    assert await status(known) is AgentStatus.SUSPENDED


async def test_what_was_just_begun_is_waited_for(known: AgentRegistry, clock: ManualClock) -> None:
    await known.agents.register(card(), ALICE, agent_id="poet")
    await known.agents.move("poet", Move.DRAIN, ALICE)
    await known.upkeep.tend()
    assert await status(known) is AgentStatus.DRAINING
    clock.advance(SETTLED.total_seconds())
    await known.upkeep.tend()
    assert await status(known) is AgentStatus.SUSPENDED


async def test_a_hosted_agent_drains_for_one_tenant(
    database: Database, supervisor: Supervisor, clock: ManualClock, tasks: VersionedTaskStore
) -> None:
    hosted = HostedAgents()
    hosted.add(Hosting(agent_id="poet", agent=ScriptedAgent()))
    known = known_agents(database, supervisor, clock, hosted=hosted)
    theirs = replace(record("t1").owner, tenant="evil")
    await begin(tasks, record("t1", owner=theirs))
    await known.agents.move("poet", Move.DRAIN, ADMIN)
    assert not await tasks.begin(new("t2"))
    await begin(tasks, record("t3", owner=theirs))
    clock.advance(SETTLED.total_seconds())
    await known.upkeep.tend()
    assert await status(known) is AgentStatus.SUSPENDED


async def test_several_processes_end_a_drain_once(
    database: Database,
    supervisor: Supervisor,
    known: AgentRegistry,
    clock: ManualClock,
    listener: RecordingListener,
) -> None:
    others = [known_agents(database, supervisor, clock, listener) for _ in range(3)]
    await known.agents.register(card(), ALICE, agent_id="poet")
    await known.agents.move("poet", Move.DRAIN, ALICE)
    clock.advance(SETTLED.total_seconds())
    await asyncio.gather(*(each.upkeep.tend() for each in [known, *others]))
    assert [event.after for event in listener.moved].count(AgentStatus.SUSPENDED) == 1


async def test_watching_fills_counts_and_sleeps(
    database: Database, supervisor: Supervisor, known: AgentRegistry, clock: ManualClock
) -> None:
    await known.agents.register(card(), ALICE, agent_id="poet")
    supervisor.start("upkeep", known.upkeep.watch)
    while not clock.slept:
        await asyncio.sleep(0.001)
    assert clock.slept == [TEND_SECONDS]
    clock.advance(timedelta(days=1).total_seconds())


def test_states_that_nobody_is_in_are_not_shown() -> None:
    registry = CollectorRegistry()
    metrics = RegistryMetrics(registry)
    labels = {"status": "active", "health": "healthy"}
    metrics.count({(AgentStatus.ACTIVE, AgentHealth.HEALTHY): 3})
    assert registry.get_sample_value("a2a_agents", labels) == 3
    metrics.count({})
    assert registry.get_sample_value("a2a_agents", labels) is None
