"""Owners change, roll back, try and delete a playbook while it evolves: the log stays the truth."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable

import pytest

from agentcore.ace.errors import EvolutionClaimLost
from agentcore.ace.models import ACEConfig
from agentcore.kit.cache import Cache
from agentcore.kit.db import Database
from agentcore.kit.errors import AgentCoreError
from agentcore.kit.supervisor import Supervisor
from tests.fakes.clock import ManualClock
from tests.fakes.context import ALICE, ContextWorld
from tests.fakes.language_model import ScriptedModel, adding, proposing

AGENT = "agent-123"
ERROR = "missing field 'to'"
ROUNDS = 8


@pytest.fixture(params=["curator", "canary"])
async def world(
    request: pytest.FixtureRequest,
    database: Database,
    cache: Cache,
    supervisor: Supervisor,
    clock: ManualClock,
) -> ContextWorld:
    config = ACEConfig(ace_gate=request.param, ace_min_traces_for_evolution=1)
    made = ContextWorld(database, cache, supervisor, clock, config, ScriptedModel(delay=0.002))
    await made.contexts.create_playbook(AGENT, {"goals": ["win"]}, principal=ALICE)
    return made


class Owner:
    """Does what owners may, at the worst moment; counts what it was refused."""

    def __init__(self, world: ContextWorld, seed: int) -> None:
        self._world = world
        self._dice = random.Random(seed)
        self._numbers = itertools.count()
        self.done = 0
        self.refused: set[str] = set()

    async def change(self) -> None:
        number = next(self._numbers)
        await self._world.taught(
            {"op": "ADD", "section": "checks", "text": f"Rule {number}."}, delta_id=f"d{number}"
        )

    async def roll_back(self) -> None:
        newest = (await self._world.contexts.get_playbook(AGENT, principal=ALICE)).version
        await self._world.contexts.rollback(
            AGENT, self._dice.randint(1, max(1, newest - 1)), principal=ALICE
        )

    async def try_something(self) -> None:
        kept = [one for one in await self._world.contexts.deltas(AGENT) if not one.delta.applied]
        if kept:
            await self._world.experiments.start(AGENT, self._dice.choice(kept).delta.delta_id)

    async def stop_trying(self) -> None:
        for one in await self._world.experiments.of(AGENT):
            await self._world.experiments.stop(AGENT, one.experiment_id)

    async def act(self, what: Callable[[], Awaitable[None]]) -> None:
        for _ in range(ROUNDS):
            try:
                await what()
                self.done += 1
            except AgentCoreError as error:
                self.refused.add(error.code)
            await asyncio.sleep(0.001)


async def evolve(world: ContextWorld) -> None:
    for number in range(ROUNDS):
        await world.captured(1, error_message=ERROR)
        world.model.answers = [proposing(adding(f"Lesson {number}.", quote=ERROR))]
        assert await world.evolution.evolve(AGENT) is not None


async def test_rollbacks_and_evolutions_leave_a_log_that_can_be_replayed(
    world: ContextWorld,
) -> None:
    owner = Owner(world, seed=5)
    async with asyncio.TaskGroup() as group:
        group.create_task(evolve(world))
        for what in (owner.change, owner.roll_back, owner.try_something, owner.stop_trying):
            group.create_task(owner.act(what))
    assert owner.done >= ROUNDS
    assert owner.refused <= {
        "playbook_version_not_found",
        "experiment_over",
        "experiment_running",
        "nothing_to_try",
    }
    now = await world.contexts.get_playbook(AGENT, principal=ALICE)
    stored = await world.store.run(lambda unit: unit.playbooks.of(AGENT))
    assert stored is not None
    assert (now.version, now.content) == (stored.version, stored.content)
    log = await world.contexts.history(AGENT, limit=1000)
    assert [entry.result_version for entry in log] == [*range(now.version, 0, -1)]
    assert await world.contexts.content_at(AGENT, now.version) == now.content
    for version in (1, now.version // 2, now.version - 1):
        await world.contexts.content_at(AGENT, version)
    status = await world.contexts.evolution_status(AGENT)
    assert (status.pending_traces, status.deltas_generated, status.status) == (0, ROUNDS, "idle")


async def test_a_playbook_that_is_made_anew_gets_nothing_of_the_old_one(
    world: ContextWorld,
) -> None:
    gate = world.model.gate = asyncio.Event()
    await world.captured(1, error_message=ERROR)
    world.model.answers = [proposing(adding("Of the old one.", quote=ERROR))]

    async def lose() -> None:
        with pytest.raises(EvolutionClaimLost):
            await world.evolution.evolve(AGENT)

    async with asyncio.TaskGroup() as group:
        group.create_task(lose())
        while not world.model.running:
            await asyncio.sleep(0.001)
        await world.contexts.delete_playbook(AGENT, principal=ALICE)
        await world.contexts.create_playbook(AGENT, {"goals": ["anew"]}, principal=ALICE)
        gate.set()
    now = await world.contexts.get_playbook(AGENT, principal=ALICE)
    assert (now.version, now.content) == (1, {"goals": ["anew"]})
    assert [entry.kind for entry in await world.contexts.deltas(AGENT)] == ["seed"]
    status = await world.contexts.evolution_status(AGENT)
    assert (status.status, status.pending_traces) == ("idle", 1), "its trace is still to be learned"
