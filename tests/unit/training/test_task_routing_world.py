from __future__ import annotations

from random import Random

import pytest

from agentcore.training.openenv.environments.task_routing_world import (
    BIASES,
    BREAKDOWN_TICKS,
    BREAKDOWNS,
    DRIFTS,
    TYPES,
    RoutedAgent,
    routed_agents,
    routed_tasks,
)


def agent(
    *, bias: int = 0, drift: int = 0, drifts_at: int = 0, breaks_at: int | None = None
) -> RoutedAgent:
    return RoutedAgent(
        id="a",
        skills=dict.fromkeys(TYPES, 60),
        ticks_per_unit=2,
        price=1,
        bias=bias,
        drift=drift,
        drifts_at=drifts_at,
        breaks_at=breaks_at,
    )


def test_chances_drift_once() -> None:
    drifting = agent(bias=-10, drift=30, drifts_at=5)
    assert [drifting.chance("code", tick) for tick in (0, 4, 5, 9)] == [50, 50, 80, 80]


@pytest.mark.parametrize(("bias", "chance"), [(90, 98), (-90, 2)])
def test_nobody_is_certain(bias: int, chance: int) -> None:
    assert agent(bias=bias).chance("plan", 0) == chance


def test_a_breakdown_passes() -> None:
    broken = agent(breaks_at=4)
    last = 4 + BREAKDOWN_TICKS - 1
    assert [broken.broken(tick) for tick in (3, 4, last, last + 1)] == [False, True, True, False]
    assert (broken.chance("code", 4), broken.chance("code", last + 1)) == (0, 60)


def test_work_queues() -> None:
    busy = agent()
    assert busy.work(3, 0) == (0, 6)
    assert busy.work(1, 2) == (6, 8)
    assert [busy.queue(tick) for tick in (0, 5, 6, 8)] == [2, 2, 1, 0]
    assert busy.work(1, 20) == (20, 22)


@pytest.mark.parametrize("seed", range(20))
def test_every_episode_has_a_boaster_a_hidden_talent_and_breakdowns(seed: int) -> None:
    agents = routed_agents(Random(seed), 60)
    assert sorted(each.bias for each in agents) == sorted(BIASES)
    assert sorted(each.drift for each in agents) == sorted(DRIFTS)
    assert sum(each.breaks_at is not None for each in agents) == BREAKDOWNS
    assert all(15 <= each.drifts_at < 45 for each in agents)


@pytest.mark.parametrize("seed", range(20))
def test_tasks_come_in_order_and_can_be_done_in_time(seed: int) -> None:
    tasks = routed_tasks(Random(seed), 40)
    assert [task.arrived for task in tasks] == sorted(task.arrived for task in tasks)
    assert [task.arrived for task in tasks[:3]] == [0, 0, 0]
    assert all(task.deadline - task.arrived >= 5 + 2 * task.size for task in tasks)
    assert all(0 <= task.luck < 100 for task in tasks)


def test_one_task_is_enough() -> None:
    assert len(routed_tasks(Random(0), 1)) == 1
    assert len(routed_agents(Random(0), 1)) == 5
