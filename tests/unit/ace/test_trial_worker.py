from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

import pytest

from agentcore.ace.models import ACEConfig, ContextPlaybook
from agentcore.ace.paired_gate import LEASE
from agentcore.ace.ports import Pair
from agentcore.ace.store import ContextStore, Unit
from agentcore.ace.trial_mark import TrialMark
from agentcore.ace.trial_worker import CLAIMS, EPISODE_TOKENS, RENEW_SECONDS, TASK, TrialWorker
from agentcore.kit.errors import Unavailable
from agentcore.kit.jsonvalue import JsonObject
from agentcore.kit.supervisor import Supervisor
from tests.fakes.context import ALICE, ContextWorld
from tests.fakes.trial_grounds import ScriptedGrounds

AGENT = "agent-123"
LESSON = "Name the receiver."
ADDING: JsonObject = {"op": "ADD", "section": "checks", "text": LESSON}


def helped(playbook: ContextPlaybook, seed: int) -> float:
    return 0.9 if LESSON in str(playbook.content) else 0.2


@pytest.fixture
async def tried(world: ContextWorld, playbook: ContextPlaybook) -> ContextWorld:
    """With a trial that has begun."""
    await world.bindings.bind(AGENT, "maze")
    await world.taught(ADDING, delta_id="unsure", confidence=0.3)
    await world.experiments.start(AGENT, "unsure")
    return world


async def rested(world: ContextWorld) -> TrialMark:
    playbook = await world.store.run(lambda unit: unit.playbooks.of(AGENT))
    assert playbook is not None
    mark = TrialMark.of(playbook)
    assert mark is not None
    return mark


async def booked(world: ContextWorld) -> Decimal:
    month = world.clock.now().replace(day=1, hour=0, minute=0, second=0)
    return await world.store.run(lambda unit: unit.bookings.spent_since(month))


async def test_rounds_go_on_until_nothing_is_left_to_try(tried: ContextWorld) -> None:
    grounds = ScriptedGrounds(fares=helped)
    assert await tried.lessons() == set()
    rounds = 0
    while await tried.trial_round(grounds):
        rounds += 1
        assert rounds < 10
    assert await tried.lessons() == {LESSON}, "no cache shows what was before"
    (found,) = await tried.experiments.of(AGENT)
    assert found.canary is not None
    assert found.canary.treated.count == len(grounds.played) == len({*grounds.played})
    assert found.cost_usd == Decimal("0.01") * len(grounds.played)
    assert grounds.asked[0] == (AGENT, "maze", False)
    status = await tried.contexts.evolution_status(AGENT)
    assert status.total_cost == pytest.approx(float(found.cost_usd))


async def test_a_price_that_nobody_knows_is_estimated_from_above(tried: ContextWorld) -> None:
    await tried.trial_round(ScriptedGrounds(cost_usd=None))
    (found,) = await tried.experiments.of(AGENT)
    assert found.cost_usd == 8 * 4 * 1000 * Decimal("0.15") / 1_000_000


async def test_a_fault_is_no_outcome_and_is_seen(tried: ContextWorld) -> None:
    away = ScriptedGrounds(fault=Unavailable("the maze is closed"))
    assert await tried.trial_round(away) == 1
    assert await tried.trial_round(away) == 0, "it rests"
    assert "the maze is closed" in str((await rested(tried)).error)
    (told,) = await tried.experiments.of(AGENT)
    assert (told.evidence.count, told.cost_usd) == (0, Decimal("0.08"))
    assert await booked(tried) == Decimal("0.08"), "no more than what it cost"
    tried.clock.advance(61)
    assert await tried.trial_round(ScriptedGrounds()) == 1
    assert (await tried.experiments.of(AGENT))[0].evidence.treated.count == 8


async def test_the_months_budget_is_kept(tried: ContextWorld) -> None:
    """Booked before: with less than a batch may cost, none is played."""
    upper = 16 * EPISODE_TOKENS * 0.15 / 1e6
    config = ACEConfig(ace_monthly_budget_usd=upper * 0.99)
    poor = ContextWorld(tried.database, tried.cache, tried.supervisor, tried.clock, config)
    grounds = ScriptedGrounds()
    await poor.trial_round(grounds)
    assert grounds.played == []
    assert "evolution_budget_exhausted" in str((await rested(tried)).error)


async def test_what_is_cut_off_is_due_at_once(tried: ContextWorld) -> None:
    _, playing = await under_way(tried)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert (await rested(tried)).claim is None
    assert await booked(tried) == Decimal("0.08")
    assert await tried.trial_round(ScriptedGrounds()) == 1


async def under_way(world: ContextWorld) -> tuple[ScriptedGrounds, asyncio.Task[int]]:
    """A batch that goes on until its gate opens."""
    grounds = ScriptedGrounds(fares=helped, gate=asyncio.Event())
    playing = asyncio.create_task(world.trial_round(grounds))
    async with asyncio.timeout(20):
        while not grounds.bill.cost_usd:
            await asyncio.sleep(0)
    return grounds, playing


async def test_what_is_still_played_is_not_taken_over(tried: ContextWorld) -> None:
    other = ContextWorld(tried.database, tried.cache, tried.supervisor, tried.clock)
    grounds, playing = await under_way(tried)
    assert grounds.gate is not None
    for _ in range(8):
        tried.clock.advance(RENEW_SECONDS)
        await tried.trials.renew()
        assert await other.trial_round(ScriptedGrounds()) == 0
    grounds.gate.set()
    assert await playing == 1
    assert (await tried.experiments.of(AGENT))[0].evidence.treated.count == 8
    assert await other.trial_round(ScriptedGrounds(fares=helped)) == 1, "free at once"


async def test_what_nobody_says_is_played_any_more_is_taken_over(tried: ContextWorld) -> None:
    other = ContextWorld(tried.database, tried.cache, tried.supervisor, tried.clock)
    _, playing = await under_way(tried)
    tried.clock.advance(LEASE.total_seconds() + 1)
    assert await other.trial_round(ScriptedGrounds(fares=helped)) == 1
    left = Decimal("0.03") + EPISODE_TOKENS * Decimal("0.15") / 1_000_000
    assert await booked(tried) == Decimal("0.08") + left, "not at the upper price"
    await tried.trials.renew()
    assert await playing == 1, "cut off"
    assert (await tried.experiments.of(AGENT))[0].evidence.treated.count == 8, "once"
    assert await booked(tried) == Decimal("0.16"), "it knows better what it has cost"
    status = await tried.contexts.evolution_status(AGENT)
    assert status.total_cost == pytest.approx(float(Decimal("0.08") + left)), "once"
    await other.trial_round(ScriptedGrounds(fares=helped))
    assert await booked(tried) == Decimal("0.24"), "nothing is left to settle"


async def test_what_a_dead_process_had_not_booked_is_not_paid_for(tried: ContextWorld) -> None:
    await tried.store.run(lambda unit: tried.paired.claim(unit, AGENT))
    tried.clock.advance(LEASE.total_seconds() + 1)
    assert await tried.trial_round(ScriptedGrounds()) == 1
    assert await booked(tried) == Decimal("0.08")


async def test_what_its_owner_stops_is_cut_off(tried: ContextWorld) -> None:
    _, playing = await under_way(tried)
    (begun,) = await tried.experiments.of(AGENT)
    await tried.experiments.stop(AGENT, begun.experiment_id)
    await tried.trials.renew()
    assert await playing == 1
    assert (await tried.experiments.of(AGENT))[0].outcome == "stopped"
    assert await booked(tried) == Decimal("0.08")
    await tried.trials.renew()


async def test_it_runs_under_the_supervisor_and_is_woken(
    world: ContextWorld, playbook: ContextPlaybook, supervisor: Supervisor
) -> None:
    async with world.trials.running(ScriptedGrounds(fares=helped), supervisor):
        await world.bindings.bind(AGENT, "maze")
        await world.taught(ADDING, delta_id="unsure", confidence=0.3)
        await world.experiments.start(AGENT, "unsure")
        async with asyncio.timeout(20):
            while await world.lessons() != {LESSON}:
                await asyncio.sleep(0.01)
    assert not {TASK, CLAIMS} & {*supervisor.health()}


@dataclass
class HangingGrounds(ScriptedGrounds):
    """The trials of one agent never end."""

    async def play(
        self, champion: ContextPlaybook, challenger: ContextPlaybook, seeds: Sequence[int]
    ) -> list[Pair]:
        if champion.agent_id == AGENT:
            await asyncio.Event().wait()
        return await super().play(champion, challenger, seeds)


async def test_an_environment_that_hangs_holds_up_no_other_agent(
    tried: ContextWorld, supervisor: Supervisor
) -> None:
    await tried.contexts.create_playbook("agent-456", {}, principal=ALICE)
    await tried.bindings.bind("agent-456", "maze")
    await tried.taught(ADDING, agent_id="agent-456", delta_id="unsure", confidence=0.3)
    await tried.experiments.start("agent-456", "unsure")
    async with tried.trials.running(HangingGrounds(fares=helped), supervisor):
        async with asyncio.timeout(20):
            while await tried.lessons("agent-456") != {LESSON}:
                await asyncio.sleep(0.01)
        assert (await rested(tried)).claim is not None, "still played"
    assert (await rested(tried)).claim is None


class Away:
    """A store whose database is away at first."""

    def __init__(self, world: ContextWorld) -> None:
        self._world = world
        self.refused = 0

    async def run(self, work: Callable[[Unit], Awaitable[object]]) -> object:
        if not self.refused:
            self.refused += 1
            raise Unavailable("the database is away")
        return await self._world.store.run(work)


async def test_a_database_that_is_away_is_asked_again(
    tried: ContextWorld, supervisor: Supervisor
) -> None:
    away = Away(tried)
    worker = TrialWorker(
        tried.config,
        cast("ContextStore", away),
        tried.paired,
        budget=tried.budget,
        cache=tried.playbooks,
        clock=tried.clock,
        metrics=tried.metrics,
    )
    async with worker.running(ScriptedGrounds(fares=helped), supervisor):
        async with asyncio.timeout(20):
            while await tried.lessons() != {LESSON}:
                worker.wake()
                await asyncio.sleep(0.01)
        assert supervisor.health()[TASK].restarts == 0
    assert away.refused == 1
