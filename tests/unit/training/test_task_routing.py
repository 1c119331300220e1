from __future__ import annotations

from typing import Any

import pytest

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.training.openenv.environments.base import Step
from agentcore.training.openenv.environments.reading import members
from agentcore.training.openenv.environments.task_routing import (
    RoutingDecision,
    TaskRoutingEnv,
    routing_quality,
)
from agentcore.training.openenv.environments.task_routing_world import LONGEST_QUEUE
from agentcore.training.openenv.errors import OpenEnvInvalidActionError


def decision(task: str, agent: str = "agent-0") -> JsonObject:
    return {"type": "routing_decision", "parameters": {"task": task, "target_agent": agent}}


def started(seed: int = 0, **options: int) -> TaskRoutingEnv:
    env = TaskRoutingEnv()
    env.reset(seed, {**options})
    return env


def result_of(step: Step) -> dict[str, Any]:
    result = step.info["result"]
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize(
    ("latency", "success", "cost", "reward"),
    [
        (0, True, 0, 1.0),
        (0, False, 0, -1.0),
        (10, True, 5, 0.6),
        (1, True, 0, 0.97),
        (0, True, 1, 0.98),
        (40, False, 15, -2.5),
    ],
)
def test_latency_success_and_cost_trade_off(
    latency: int, success: bool, cost: int, reward: float
) -> None:
    assert routing_quality(latency=latency, success=success, cost=cost) == reward


def test_the_reward_is_the_quality_of_the_shown_result() -> None:
    env = started()
    for number in range(3):
        step = env.step(decision(f"task-{number}", f"agent-{number}"))
        result = result_of(step)
        assert members(step.observation, "results")[-1] == result
        assert step.reward == routing_quality(
            latency=result["latency"], success=result["success"], cost=result["cost"]
        )


def test_a_result_follows_from_claims_queue_and_hidden_truth() -> None:
    env = started()
    first, second = env.tasks[:2]
    agent = env.available_agents[0]
    agent.bias, agent.drift, agent.breaks_at, agent.ticks_per_unit = 100, 0, None, 2
    quick = result_of(env.step(decision(first.id)))
    assert (quick["latency"], quick["cost"]) == (2 * first.size, agent.price * first.size)
    assert quick["success"] is (quick["latency"] <= first.deadline and first.luck < 98)
    # One tick later the second one waits until the first is done.
    queued = result_of(env.step(decision(second.id)))
    assert queued["latency"] == 2 * first.size + 2 * second.size - second.arrived


def test_what_ends_late_has_not_succeeded() -> None:
    env = started()
    env.tasks[0].deadline, env.tasks[0].luck = 0, 0
    result = result_of(env.step(decision("task-0")))
    assert (result["late"], result["success"]) == (True, False)


def test_a_broken_agent_fails_everything_and_takes_twice_as_long() -> None:
    env, sound = started(), started()
    for each in (env, sound):
        each.tasks[0].luck, each.tasks[0].deadline = 0, 99
        each.available_agents[0].breaks_at = None
    env.available_agents[0].breaks_at = 0
    broken, whole = (result_of(each.step(decision("task-0"))) for each in (env, sound))
    assert (broken["success"], whole["success"]) == (False, True)
    assert broken["latency"] == 2 * whole["latency"]


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (decision("task-99"), "Task not found"),
        (decision("task-39"), "Task not found"),
        (decision("task-0", "agent-9"), "Target agent not found"),
    ],
)
def test_what_does_not_exist_costs_reward_and_time(action: JsonObject, error: str) -> None:
    env = started()
    step = env.step(action)
    assert (step.reward, step.info["error"]) == (-0.3, error)
    assert (env.state.clock, env.state.routed) == (1, 0)


def test_a_task_is_routed_once() -> None:
    env = started()
    env.step(decision("task-0"))
    assert env.step(decision("task-0")).info["error"] == "Task not found"


def test_a_full_queue_refuses() -> None:
    env = started()
    agent = env.available_agents[0]
    agent.busy = [50] * LONGEST_QUEUE
    step = env.step(decision("task-0"))
    assert (step.reward, step.info["error"]) == (-0.2, "Target agent's queue is full")
    assert "task-0" in str(step.observation["pending_tasks"])


def test_parameters_are_typed() -> None:
    assert RoutingDecision(task="t", target_agent="a").target_agent == "a"
    env = started()
    with pytest.raises(OpenEnvInvalidActionError, match="target_agent"):
        env.step({"type": "routing_decision", "parameters": {"task": "task-0"}})
    assert env.step_count == 0


def test_time_goes_on_to_the_next_task() -> None:
    env = started()
    for task in env.tasks[:3]:
        task.arrived = 0
    for task in env.tasks[3:]:
        task.arrived = 30
    clocks = [env.step(decision(f"task-{n}")).observation["clock"] for n in range(3)]
    assert clocks == [1, 2, 30]


def test_all_tasks_routed_is_the_end() -> None:
    env = started(num_tasks=4)
    env.available_agents[0].busy = []
    steps = [env.step(decision(f"task-{n}", f"agent-{n}")) for n in range(4)]
    assert [step.terminated for step in steps] == [False, False, False, True]
    assert steps[-1].observation["pending_tasks"] == []
    assert steps[-1].info["score"] == env.state.succeeded / 4


def test_wasted_steps_are_truncated() -> None:
    env = started(num_tasks=2)
    ends = [env.step(decision("task-99"))[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]


@pytest.mark.parametrize("wrong", [0, 201, "3", True])
def test_a_wrong_option_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="num_tasks"):
        TaskRoutingEnv().reset(0, {"num_tasks": wrong})


def test_what_is_hidden_stays_hidden() -> None:
    """Neither what an agent can do nor when it changes shows before its outcomes do."""
    one, other = started(5), started(5)
    for agent in other.available_agents:
        agent.bias, agent.drift, agent.breaks_at = -agent.bias, -agent.drift, 3
    for task in other.tasks:
        task.luck = 99 - task.luck
    assert dumps(one.visible_state()) == dumps(other.visible_state())
    shown = [env.step(decision("task-99")).observation for env in (one, other)]
    assert dumps(shown[0]) == dumps(shown[1])
