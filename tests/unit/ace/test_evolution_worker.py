from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from agentcore.ace.errors import EvolutionModelUnknown, EvolutionQueueFull
from agentcore.ace.evolution import Evolution
from agentcore.ace.evolution_worker import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    RESCAN_SECONDS,
    TASK,
    EvolutionWorker,
)
from agentcore.ace.models import ACEConfig
from agentcore.kit.errors import AgentCoreError, DeadlineExceeded, InvalidInput, Unavailable
from agentcore.kit.supervisor import Supervisor
from tests.fakes.context import ALICE, ContextWorld
from tests.fakes.language_model import NOTHING, ScriptedModel, adding, proposing

FAST = ACEConfig(
    ace_worker_batch_timeout=0.02, ace_min_traces_for_evolution=1, ace_evolution_interval=3
)
ERROR = "missing field 'to'"


@pytest.fixture
def fast(world: ContextWorld) -> ContextWorld:
    return ContextWorld(world.database, world.cache, world.supervisor, world.clock, FAST)


async def agents(world: ContextWorld, *names: str) -> None:
    for name in names:
        await world.contexts.create_playbook(name, {}, principal=ALICE)
        await world.captured(1, agent_id=name, error_message=ERROR)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_worker_processes_queue(fast: ContextWorld) -> None:
    await agents(fast, "a", "b")
    fast.model.answers = [proposing(adding("Name the receiver.", quote=ERROR))]
    await fast.worker.start()
    assert await fast.contexts.trigger_evolution("a") == 1
    await fast.contexts.trigger_evolution("b")
    await fast.worker.stop()
    for name in ("a", "b"):
        assert (await fast.contexts.get_playbook(name)).version == 2
        assert (await fast.contexts.evolution_status(name)).pending_traces == 0
    assert fast.supervisor.health()[TASK].state == "finished"


class Blind:
    """An evolution whose database cannot say who is due."""

    def __init__(self, evolution: Evolution) -> None:
        self.evolve = evolution.evolve

    async def waiting(self, limit: int) -> list[str]:
        raise Unavailable("the database is away")


async def test_who_is_due_may_be_unknown_for_a_while(fast: ContextWorld) -> None:
    await agents(fast, "a")
    fast.model.answers = [proposing(adding("Name the receiver.", quote=ERROR))]
    worker = EvolutionWorker(
        FAST,
        fast.queue,
        cast("Evolution", Blind(fast.evolution)),
        supervisor=fast.supervisor,
        clock=fast.clock,
        pace=fast.pace,
    )
    await worker.start()
    await fast.contexts.trigger_evolution("a")
    await worker.stop()
    assert (await fast.contexts.get_playbook("a")).version == 2
    assert fast.supervisor.health()[TASK].restarts == 0


async def test_batch_processing(fast: ContextWorld) -> None:
    names = [f"agent-{number}" for number in range(25)]
    await agents(fast, *names)
    model = ScriptedModel(gate=asyncio.Event())
    busy = ContextWorld(fast.database, fast.cache, fast.supervisor, fast.clock, FAST, model)
    for name in names:
        await busy.contexts.trigger_evolution(name)
    await busy.worker.start()
    await until(lambda: model.running == 10)
    assert model.gate is not None
    model.gate.set()
    await busy.worker.stop()
    assert len(model.asked) == 25
    assert model.most_running == 10


async def test_one_failing_agent_does_not_disturb_the_others(fast: ContextWorld) -> None:
    await agents(fast, "a", "b", "c")
    fast.model.answers = [Unavailable("down"), NOTHING]
    for name in ("a", "b", "c"):
        await fast.worker.enqueue_evolution_request(name)
    await fast.worker.start()
    await fast.worker.stop()
    found = [(await fast.contexts.evolution_status(name)).status for name in ("a", "b", "c")]
    assert sorted(found) == ["failed", "idle", "idle"]


async def test_passing_faults_are_tried_again_with_growing_pauses(fast: ContextWorld) -> None:
    await agents(fast, "a")
    fast.model.answers = [Unavailable("down"), Unavailable("down"), NOTHING]
    await fast.worker.start()
    await fast.contexts.trigger_evolution("a")
    for tried in (1, 2):
        await until(lambda tried=tried: len(fast.clock.slept) == tried)  # type: ignore[misc]  # bound
        fast.clock.advance(LONGEST_PAUSE)
    await until(lambda: len(fast.model.asked) == 3)
    await fast.worker.stop()
    assert (await fast.contexts.evolution_status("a")).status == "idle"
    assert all(0 <= pause <= FIRST_PAUSE * 4 for pause in fast.clock.slept)


@pytest.mark.parametrize(
    "fault", [InvalidInput("too long"), DeadlineExceeded("slow"), EvolutionModelUnknown("m")]
)
async def test_other_faults_are_not(fast: ContextWorld, fault: AgentCoreError) -> None:
    await agents(fast, "a")
    fast.model.answers = [fault]
    await fast.worker.start()
    await fast.contexts.trigger_evolution("a")
    async with asyncio.timeout(60):
        while (await fast.contexts.evolution_status("a")).status != "failed":
            await asyncio.sleep(0.005)
    await fast.worker.stop()
    assert (len(fast.model.asked), fast.clock.slept) == (1, [])


async def test_a_slow_evolution_does_not_keep_the_next_from_starting(fast: ContextWorld) -> None:
    await agents(fast, "slow", "next")
    fast.model.gate = asyncio.Event()
    await fast.worker.start()
    await fast.contexts.trigger_evolution("slow")
    await until(lambda: fast.model.running == 1)
    await fast.contexts.trigger_evolution("next")
    await until(lambda: fast.model.running == 2)
    fast.model.gate.set()
    await fast.worker.stop()


async def test_graceful_shutdown(fast: ContextWorld) -> None:
    await agents(fast, "a", "b")
    fast.model.gate = asyncio.Event()
    await fast.worker.start()
    await fast.contexts.trigger_evolution("a")
    await until(lambda: len(fast.model.asked) == 1)
    await fast.contexts.trigger_evolution("b")
    async with asyncio.TaskGroup() as group:
        stopping = group.create_task(fast.worker.stop())
        await asyncio.sleep(0.01)
        assert not stopping.done()
        fast.model.gate.set()
    assert len(fast.model.asked) == 2
    assert len(fast.queue) == 0


async def test_stopping_what_never_started_is_fine(fast: ContextWorld) -> None:
    await fast.worker.stop()


async def test_queue_survives_worker_crash(fast: ContextWorld) -> None:
    await agents(fast, "asked", "forced", "grown", "quiet")
    await fast.contexts.trigger_evolution("asked")
    await fast.contexts.trigger_evolution("forced", force=True)
    await fast.captured(3, agent_id="grown")
    assert len(fast.queue) == 3
    # The process dies here: its queue and everything else in memory is gone.
    again = ContextWorld(fast.database, fast.cache, fast.supervisor, fast.clock, FAST)
    await again.worker.start()
    await until(lambda: len(again.model.asked) == 3)
    await again.worker.stop()
    for name, left in {"asked": 0, "forced": 0, "grown": 0, "quiet": 1}.items():
        assert (await again.contexts.evolution_status(name)).pending_traces == left, name


async def test_a_crashed_worker_is_restarted_and_says_so(fast: ContextWorld) -> None:
    def bug(prompt: str) -> str:
        raise ZeroDivisionError

    await agents(fast, "a", "b")
    fast.model.answers = [bug, NOTHING]
    async with Supervisor() as supervisor:
        crashing = ContextWorld(fast.database, fast.cache, supervisor, fast.clock, FAST, fast.model)
        await crashing.worker.start()
        await crashing.contexts.trigger_evolution("a")
        await until(lambda: supervisor.health()[TASK].restarts == 1)
        await crashing.contexts.trigger_evolution("b")
        await until(lambda: len(crashing.model.asked) == 2)
        await crashing.worker.stop()
    assert (await fast.contexts.evolution_status("b")).pending_traces == 0


async def test_the_database_is_asked_again_now_and_then(fast: ContextWorld) -> None:
    await fast.worker.start()
    await until(lambda: fast.supervisor.health()[TASK].state == "running")
    await asyncio.sleep(0.05)
    other = ContextWorld(fast.database, fast.cache, fast.supervisor, fast.clock, FAST)
    await agents(other, "elsewhere")
    await other.contexts.trigger_evolution("elsewhere")
    assert fast.model.asked == []
    fast.clock.advance(RESCAN_SECONDS)
    await until(lambda: len(fast.model.asked) == 1)
    await fast.worker.stop()


async def test_workers_share_the_work_and_do_nothing_twice(fast: ContextWorld) -> None:
    names = [f"agent-{number}" for number in range(8)]
    await agents(fast, *names)
    for name in names:
        await fast.contexts.trigger_evolution(name)
    async with Supervisor() as supervisor:
        other = ContextWorld(fast.database, fast.cache, supervisor, fast.clock, FAST)
        await fast.worker.start()
        await other.worker.start()
        await until(lambda: len(fast.model.asked) + len(other.model.asked) >= 8)
        await fast.worker.stop()
        await other.worker.stop()
    assert len(fast.model.asked) + len(other.model.asked) == 8


async def test_enqueueing_never_waits(fast: ContextWorld) -> None:
    for number in range(1000):
        assert await fast.worker.enqueue_evolution_request(f"agent-{number}") == number + 1
    with pytest.raises(EvolutionQueueFull):
        await fast.worker.enqueue_evolution_request("one-more")
