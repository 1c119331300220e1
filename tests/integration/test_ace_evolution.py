"""The loop of the context layer, end to end on real storage with the simulated model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from sqlalchemy import text

from agentcore.a2a_protocol.models.agent import Move
from agentcore.a2a_protocol.ports import TaskOutcome
from agentcore.ace.errors import PlaybookNotFound, UnknownAgent
from agentcore.ace.models import ACEConfig
from agentcore.ace.observer import ContextObserver
from agentcore.kit.cache import Cache
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.supervisor import Supervisor
from agentcore.simulators.model import ScriptedModel as SimulatedModel
from agentcore.simulators.prompt import Message
from tests.fakes.asgi import As, client
from tests.fakes.clock import ManualClock
from tests.fakes.context import ALICE, ContextWorld, ToldSpending, context_app
from tests.fakes.language_model import ScriptedModel
from tests.integration.test_ace_database import TABLES

BASE = "/internal/context"
VIOLATION = "Invalid discovery: missing capabilities"


def reflecting(prompt: str) -> str:
    """What the simulated cluster's model answers to the prompt as it really is."""
    model = SimulatedModel("simulated", seed=1, slip_rate=0.0)
    return model.reply((Message("user", prompt),)).text


@pytest.fixture
async def world(
    database: Database, cache: Cache, supervisor: Supervisor, clock: ManualClock
) -> AsyncIterator[ContextWorld]:
    config = ACEConfig(ace_worker_batch_timeout=0.02)
    made = ContextWorld(database, cache, supervisor, clock, config, ScriptedModel([reflecting]))
    await made.worker.start()
    yield made
    await made.worker.stop()


async def until_evolved(http: httpx2.AsyncClient) -> JsonObject:
    async with asyncio.timeout(100):
        while True:
            status: JsonObject = (await http.get(f"{BASE}/evolution/status/agent-123")).json()
            if status["status"] == "idle" and status["pending_traces"] == 0:
                return status
            await asyncio.sleep(0.01)


async def test_full_evolution_cycle(world: ContextWorld) -> None:
    async with client(As(context_app(world), ALICE)) as http:
        new = {"agent_id": "agent-123", "initial_context": {"goals": ["finish every task"]}}
        await http.post(f"{BASE}/playbooks", json=new)
        for number in range(10):
            rendered = (await http.get(f"{BASE}/playbooks/agent-123/render")).json()
            trace = {
                "agent_id": "agent-123",
                "task_id": f"task-{number}",
                "execution_time": 2.5,
                "success": number == 9,
                "output_quality": 0.2,
                "metadata": {"violations": [VIOLATION], "playbook": rendered["stamp"]},
            }
            await http.post(f"{BASE}/traces", json=trace)
        await http.post(f"{BASE}/evolution/trigger", json={"agent_id": "agent-123"})
        status = await until_evolved(http)
        assert (status["deltas_generated"], status["deltas_applied"]) == (1, 1)
        playbook = (await http.get(f"{BASE}/playbooks/agent-123")).json()
        assert playbook["version"] == 2
        rendered = (await http.get(f"{BASE}/playbooks/agent-123/render")).json()
        assert "### strategies\n- [b1] Discover agents by capability" in rendered["text"]
        deltas = (await http.get(f"{BASE}/playbooks/agent-123/deltas")).json()["items"]
        learned = [item for item in deltas if item["kind"] == "delta"]
        assert len(learned) == 1
        assert learned[0]["confidence"] >= learned[0]["threshold"] == 0.7
        assert learned[0]["calibrated"] == learned[0]["confidence"]


async def test_what_was_learned_is_counted_and_not_learned_again(world: ContextWorld) -> None:
    await test_full_evolution_cycle(world)
    rendered = await world.contexts.render("agent-123")
    metadata: JsonObject = {"violations": [VIOLATION], "playbook": rendered.stamp.as_json()}
    world.clock.advance(60)
    await world.captured(10, success=True, metadata=metadata)
    await world.contexts.trigger_evolution("agent-123")
    async with client(As(context_app(world), ALICE)) as http:
        status = await until_evolved(http)
        assert status["deltas_generated"] == 1
        playbook = (await http.get(f"{BASE}/playbooks/agent-123")).json()
    bullet = playbook["content"]["playbook"]["sections"]["strategies"][0]
    assert (playbook["version"], bullet["helpful"], bullet["support"]) == (3, 10, 1)


async def test_agent_lifecycle_integration(
    database: Database, cache: Cache, supervisor: Supervisor, clock: ManualClock
) -> None:
    following: list[ContextObserver] = []
    worlds: list[ContextWorld] = []

    class Late:
        """The observer exists only after the agents that it follows."""

        async def agent_registered(self, event: object) -> None:
            await following[0].agent_registered(event)  # type: ignore[arg-type]  # passed on

        async def agent_moved(self, event: object) -> None:
            await following[0].agent_moved(event)  # type: ignore[arg-type]  # passed on

        async def agent_terminated(self, event: object) -> None:
            await following[0].agent_terminated(event)  # type: ignore[arg-type]  # passed on

        async def agent_erased(self, event: object) -> None:
            """Whoever is killed behind the commit has only told before."""
            if await worlds[0].store.run(lambda unit: unit.playbooks.of("agent-123")) is not None:
                await following[0].agent_erased(event)  # type: ignore[arg-type]  # passed on

    world = ContextWorld(database, cache, supervisor, clock, listeners=[Late()])
    worlds.append(world)
    following.append(ContextObserver(world.contexts, ToldSpending(), clock=clock))

    await world.agents.ensure("agent-123", ALICE)
    assert (await world.contexts.get_playbook("agent-123", principal=ALICE)).version == 1
    rendered = await world.contexts.render("agent-123", "a task")
    outcome = TaskOutcome(
        agent_id="agent-123",
        task_id="task-999",
        tenant="north",
        execution_time=1.0,
        success=True,
        playbook=rendered.stamp.as_json(),
    )
    await following[0].task_finished(outcome)
    assert (await world.contexts.evolution_status("agent-123")).pending_traces == 1

    made = await world.contexts.create_playbook("agent-123", {"goals": ["win"]}, principal=ALICE)
    assert made.content == {"goals": ["win"]}
    assert "- win" in (await world.contexts.render("agent-123")).text

    await world.agents.move("agent-123", Move.TERMINATE, ALICE)
    clock.advance(600)
    await world.contexts.get_playbook("agent-123", principal=ALICE)
    assert await cache.get("ace:playbook:agent-123") is not None
    await world.agents.erase("agent-123", ALICE)
    assert await cache.get("ace:playbook:agent-123") is None
    with pytest.raises(PlaybookNotFound):
        await world.contexts.get_playbook("agent-123", principal=ALICE)
    # What was asked for before finds nobody, and a trace that comes late has no place.
    with pytest.raises(UnknownAgent):
        await world.evolution.evolve("agent-123")
    await following[0].task_finished(outcome)
    async with database.begin() as connection:
        for table in TABLES:
            assert await connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0
