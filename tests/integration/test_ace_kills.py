"""kill -9 in each step of an evolution or a trial: nothing is lost, and nothing counts twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from decimal import Decimal

import pytest

from agentcore.ace.content import Draft
from agentcore.ace.evolution import LEASE
from agentcore.ace.paired_gate import LEASE as TRIAL_LEASE
from agentcore.kit.cache import Cache
from agentcore.kit.db import Database
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.supervisor import Supervisor
from tests.fakes.clock import ManualClock
from tests.fakes.context import ALICE, ContextWorld
from tests.fakes.language_model import adding, proposing, reflecting
from tests.fakes.trial_grounds import ScriptedGrounds

ERROR = "missing field 'to'"
ANSWERS = [
    reflecting("Name it.", quote=ERROR),
    proposing(adding("Name the receiver.", quote=ERROR)),
]
STEPS = ("first_call", "second_call", "after_the_calls", "before_the_commit", "after_the_commit")
TRIALS = ("while_playing", "after_playing", "before_the_count", "after_the_count")
# One process that forks: what it imports is imported once.
MORTAL = """
import asyncio, os, signal, sys
from agentcore.ace.evolution import Evolution
from agentcore.ace.gate import Admission
from agentcore.ace.paired_gate import PairedGate
from agentcore.ace.playbook_cache import PlaybookCache
from agentcore.ace.spending import MonthlyBudget
from agentcore.ace.delta_generator import DeltaGenerator
from agentcore.kit.cache import open_cache
from agentcore.kit.db import open_database
from agentcore.kit.models import CacheConfig, DatabaseConfig
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.supervisor import Supervisor
from tests.fakes.context import ContextWorld
from tests.fakes.language_model import ScriptedModel
from tests.fakes.trial_grounds import ScriptedGrounds
from tests.integration.test_ace_kills import ANSWERS, STEPS, TRIALS

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class MortalGenerator(DeltaGenerator):
    async def generate(self, *given):
        await super().generate(*given)
        die()

class MortalEvolution(Evolution):
    async def _commit(self, *given):
        await super()._commit(*given)
        die()

class MortalCache(PlaybookCache):
    async def overtaken(self, playbook):
        die()

class MortalBudget(MonthlyBudget):
    async def settle(self, *given, **named):
        die()

class MortalGate(PairedGate):
    async def count(self, *given):
        await super().count(*given)
        die()

async def tried(world, step):
    if step == "after_playing":
        world.budget.__class__ = MortalBudget
    if step == "before_the_count":
        world.paired.__class__ = MortalGate
    fares = die if step == "while_playing" else lambda playbook, seed: 0.5
    await world.trials.play(step, ScriptedGrounds(fares=fares))
    die()

async def main(step):
    async with (
        Supervisor() as supervisor,
        open_database(DatabaseConfig(pool_size=1), sys.argv[1]) as database,
        open_cache(CacheConfig(), None, supervisor) as cache,
    ):
        answers = {"first_call": [die], "second_call": [ANSWERS[0], die]}.get(step, ANSWERS)
        world = ContextWorld(database, cache, supervisor, model=ScriptedModel(list(answers)))
        if step in TRIALS:
            await tried(world, step)
        given = (world.config, world.store)
        common = {"clock": world.clock, "ids": world.ids, "metrics": world.metrics}
        generator, kept, kind = world.generator, world.playbooks, Evolution
        if step == "after_the_calls":
            generator.__class__ = MortalGenerator
        if step == "before_the_commit":
            kind = MortalEvolution
        if step == "after_the_commit":
            kept.__class__ = MortalCache
        admission = Admission(world.curator, world.gate)
        await kind(*given, generator, admission, cache=kept, **common).evolve(step)

for step in STEPS + TRIALS:
    child = os.fork()
    if not child:
        asyncio.run(main(step))
        os._exit(1)
    print(step, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def world(
    database: Database, cache: Cache, supervisor: Supervisor, clock: ManualClock
) -> ContextWorld:
    return ContextWorld(database, cache, supervisor, clock)


async def lived(world: ContextWorld, agent_id: str) -> None:
    """A playbook with one bullet, and ten traces that were shown it."""
    made = await world.contexts.create_playbook(agent_id, {}, principal=ALICE)
    lesson: JsonObject = {"op": "ADD", "section": "checks", "text": "Check twice."}
    await world.taught(lesson, agent_id=agent_id)
    stamp = world.stamp_of(made.playbook_id, "b1")
    await world.captured(10, agent_id=agent_id, error_message=ERROR, metadata=stamp)


async def test_kill_9_in_any_step_loses_nothing_and_counts_nothing_twice(
    world: ContextWorld, database_url: str
) -> None:
    for step in STEPS:
        await lived(world, step)
        await world.contexts.trigger_evolution(step)
    for step in TRIALS:
        await begun(world, step)
    killed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", MORTAL, database_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    died = [word for step in STEPS + TRIALS for word in (step, "-9")]
    assert killed.stdout.split() == died, killed.stderr
    assert await tried_by_others(world) == ["after_the_count"], "the others are being played"
    world.clock.advance(TRIAL_LEASE.total_seconds() + 1)
    assert sorted(await tried_by_others(world)) == sorted(TRIALS)
    for step in TRIALS:
        await check_tried_once(world, step)
    assert await world.evolution.evolve("first_call") is None, "the claim of the dead still holds"
    world.clock.advance(LEASE.total_seconds() + 1)
    assert sorted(await world.evolution.waiting(10)) == sorted(STEPS[:-1])
    for step in STEPS:
        world.model.answers = list(ANSWERS)
        evolved = await world.evolution.evolve(step)
        assert (evolved is None) is (step == "after_the_commit")
        await check_learned_once(world, step)


async def begun(world: ContextWorld, agent_id: str) -> None:
    """A trial that can be played in the maze."""
    await world.contexts.create_playbook(agent_id, {}, principal=ALICE)
    await world.bindings.bind(agent_id, "maze")
    lesson: JsonObject = {"op": "ADD", "section": "checks", "text": "Name the receiver."}
    await world.taught(lesson, agent_id=agent_id, delta_id="unsure", confidence=0.3)
    await world.experiments.start(agent_id, "unsure")


async def tried_by_others(world: ContextWorld) -> list[str]:
    """The agents of whose trials there was a batch to play."""
    grounds = ScriptedGrounds()
    await world.trial_round(grounds)
    return [agent_id for agent_id, _, _ in grounds.asked]


async def check_tried_once(world: ContextWorld, step: str) -> None:
    (found,) = await world.experiments.of(step)
    # The batch of the dead that was counted, and one or two of ours.
    batches = {"after_the_count": 3}.get(step, 1)
    evidence = found.evidence
    assert (evidence.treated.count, evidence.control.count) == (8 * batches, 8 * batches)
    assert found.cost_usd == Decimal("0.08") * batches
    status = await world.contexts.evolution_status(step)
    # Played and not counted is paid for, too; what the dead had not settled others have: at what is
    # known of its calls, and an episode for those that were under way.
    left = {"before_the_count": 0.08, "while_playing": 0.045, "after_playing": 0.045}.get(step, 0)
    assert status.total_cost == pytest.approx(0.08 * batches + left)


async def check_learned_once(world: ContextWorld, step: str) -> None:
    # Not from the cache: the dead could not tell us of what it had written.
    playbook = await world.store.run(lambda unit: unit.playbooks.of(step))
    assert playbook is not None
    bullets = {place.bullet.id: place.bullet for place in Draft.of(playbook.content).bullets()}
    assert (bullets["b1"].helpful, bullets["b1"].harmful) == (0, 10)
    assert [one.text for one in bullets.values()] == ["Check twice.", "Name the receiver."]
    assert playbook.version == 4
    assert await world.ledger.content_at(step, 4) == playbook.content
    status = await world.contexts.evolution_status(step)
    assert (status.status, status.pending_traces, status.deltas_applied) == ("idle", 0, 1)
    # What the dead had booked stays booked, what they had paid is known.
    paid = 0.002 if step in {"after_the_commit", "first_call", "second_call"} else 0.004
    assert status.total_cost == pytest.approx(paid)
