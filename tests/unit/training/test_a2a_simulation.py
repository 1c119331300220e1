from __future__ import annotations

from random import Random

import pytest

from agentcore.training.openenv.environments.a2a_simulation import (
    OPERATIONS,
    Request,
    simulated_agents,
    simulated_requests,
    simulated_tasks,
)


def test_a_task_succeeds_by_rate_and_complexity() -> None:
    agent = simulated_agents(1)[0]
    won = sum(simulated_tasks(1, Random(seed))[0].attempt(agent) for seed in range(4000))
    assert won / 4000 == pytest.approx(0.595, abs=0.025)


def test_more_agents_than_skills_share_them() -> None:
    agents = simulated_agents(7)
    assert agents[5].capabilities == agents[0].capabilities
    assert agents[6].success_rate == 1.0


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_requests_have_one_right_answer(operation: str) -> None:
    request = Request(id="r", sender="agent-0", operation=operation, values=[3, 9, 4], arrives=1)
    right = {"sum": 16, "maximum": 9, "minimum": 3}[operation]
    assert request.solved_by({"value": right})
    assert request.solved_by({"value": float(right)})
    assert not request.solved_by({"value": right + 1})
    assert not request.solved_by({"value": str(right)})
    assert not request.solved_by(right)


@pytest.mark.parametrize(("tasks", "count"), [(1, 0), (2, 1), (3, 2), (4, 3), (50, 3)])
def test_short_episodes_have_fewer_requests(tasks: int, count: int) -> None:
    requests = simulated_requests(simulated_agents(5), tasks, Random(0))
    assert len(requests) == count
    assert all(request.arrives < tasks for request in requests)
