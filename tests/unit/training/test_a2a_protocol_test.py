from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore.kit.errors import InvalidInput
from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.training.openenv.environments.a2a_message import text_message
from agentcore.training.openenv.environments.a2a_policies import solution
from agentcore.training.openenv.environments.a2a_protocol_test import A2AProtocolTestEnv
from agentcore.training.openenv.environments.base import Step

MESSAGE = text_message("m-1", "please")
NOTHING: JsonObject = {"type": "discover_agents", "parameters": {"capabilities": []}}


def anything(value: object) -> Any:
    """JSON that the test looks into without asking at each level what it is."""
    return value


def delegation(task: str = "task-0", agent: str = "agent-0", **more: Any) -> JsonObject:
    parameters = {"task_id": task, "target_agent": agent, "message": MESSAGE, **more}
    return {"type": "delegate_task", "parameters": parameters}


def discovery(*capabilities: str) -> JsonObject:
    return {"type": "discover_agents", "parameters": {"capabilities": list(capabilities)}}


def response(task: object, status: object, result: object = None) -> JsonObject:
    parameters: dict[str, Any] = {"task_id": task, "status": status, "result": result}
    return {"type": "respond_to_task", "parameters": parameters}


def started(seed: int = 0) -> A2AProtocolTestEnv:
    env = A2AProtocolTestEnv()
    env.reset(seed)
    return env


def until(env: A2AProtocolTestEnv, action: JsonObject, wanted: Callable[[Step], bool]) -> Step:
    for _ in range(30):
        step = env.step(action)
        if wanted(step):
            return step
    raise AssertionError("it never happened")


def with_request(env: A2AProtocolTestEnv) -> dict[str, Any]:
    """Step without effect until another agent asks something."""
    step = until(env, NOTHING, lambda step: bool(requests_in(step.observation)))
    return requests_in(step.observation)[0]


def requests_in(observation: JsonObject) -> list[dict[str, Any]]:
    queue: Any = observation["message_queue"]
    return [message for message in queue if message["type"] == "task_request"]


def test_the_society_is_the_specified_one() -> None:
    observation = A2AProtocolTestEnv().reset(0)
    assert observation == {
        "available_agents": [
            {
                "id": "agent-0",
                "capabilities": ["data_processing", "api_calls"],
                "success_rate": 0.7,
            },
            {
                "id": "agent-1",
                "capabilities": ["natural_language", "summarization"],
                "success_rate": 0.75,
            },
            {
                "id": "agent-2",
                "capabilities": ["code_generation", "debugging"],
                "success_rate": 0.8,
            },
            {
                "id": "agent-3",
                "capabilities": ["task_planning", "coordination"],
                "success_rate": 0.85,
            },
            {
                "id": "agent-4",
                "capabilities": ["database_queries", "analytics"],
                "success_rate": 0.9,
            },
        ],
        "pending_tasks": [
            {"id": f"task-{n}", "type": kind, "complexity": complexity}
            for n, (kind, complexity) in enumerate(
                2
                * [
                    ("data_processing", 0.5),
                    ("natural_language", 0.6),
                    ("code_generation", 0.8),
                    ("task_planning", 0.7),
                    ("database_queries", 0.4),
                ]
            )
        ],
        "message_queue": [],
        "protocol_state": {"step": 0, "completed_tasks": 0, "violations": 0},
    }


def test_reward_correct_use() -> None:
    env = started()
    request = with_request(env)
    right = response(request["task_id"], "success", {"value": solution(request)})
    assert env.step(right).reward == 1.0
    assert env.step(discovery("api_calls")).reward == 0.5


def test_discovery_pays_for_news_only() -> None:
    env = started()
    first = env.step(discovery("api_calls"))
    assert first.reward == 0.5
    assert first.observation["message_queue"] == [
        {
            "type": "discovery_response",
            "agents": [
                {
                    "id": "agent-0",
                    "capabilities": ["data_processing", "api_calls"],
                    "success_rate": 0.7,
                }
            ],
        }
    ]
    # The same agent by its other capability is nothing new, nor is nobody.
    assert env.step(discovery("data_processing")).reward == 0.0
    assert env.step(discovery("no_such_thing")).reward == 0.0
    assert env.step(discovery("data_processing", "debugging")).reward == 0.5


@pytest.mark.parametrize(
    ("action", "violation"),
    [
        ({"type": "discover_agents"}, "Protocol violation: missing capabilities"),
        (
            {"type": "discover_agents", "parameters": {"capabilities": "api_calls"}},
            "Protocol violation: missing capabilities",
        ),
        ({"type": "delegate_task"}, "Protocol violation: missing required fields"),
        (
            {"type": "delegate_task", "parameters": {"task_id": "task-0", "message": MESSAGE}},
            "Protocol violation: missing required fields",
        ),
        ({"type": "respond_to_task"}, "Protocol violation: missing required fields"),
        (response("request-0", "maybe"), "Protocol violation: missing required fields"),
        (response("request-0", "success", 7), "Protocol violation: missing required fields"),
        (response("request-0", ["success"]), "Protocol violation: missing required fields"),
        (
            delegation(message="do it"),
            "Protocol violation: message is not an A2A message: it is not an object",
        ),
        (
            delegation(message={**MESSAGE, "role": "ROLE_AGENT"}),
            (
                "Protocol violation: message is not an A2A message: "
                'role must be "ROLE_USER" (A2A 1.0) or "user" (0.3)'
            ),
        ),
        ({"type": "dance"}, "Unknown action type: dance"),
    ],
)
def test_reward_violation(action: JsonObject, violation: str) -> None:
    env = started()
    step = env.step(action)
    assert step.reward == -0.5
    assert step.info["violations"] == [violation]
    assert step.observation["protocol_state"] == {"step": 1, "completed_tasks": 0, "violations": 1}


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (delegation(task="task-99"), "Task not found"),
        (delegation(task=""), "Task not found"),
        (delegation(agent="agent-99"), "Target agent not found"),
        (response("request-99", "failure"), "Task not found"),
    ],
)
def test_reward_unknown_task_or_agent(action: JsonObject, error: str) -> None:
    step = started().step(action)
    assert (step.reward, step.info["violations"]) == (-0.3, [error])
    # As specified, an error of judgement is shown but is no violation of the protocol.
    assert anything(step.observation["protocol_state"])["violations"] == 0


def test_reward_agent_cannot_handle() -> None:
    step = started().step(delegation(agent="agent-1"))
    assert (step.reward, step.info["violations"]) == (-0.2, ["Target agent cannot handle task"])


def test_reward_task_completed() -> None:
    env = started()
    step = until(env, delegation(), lambda step: step.reward > 0)
    assert step.reward == 2.0
    assert anything(step.observation["message_queue"])[-1] == {
        "type": "task_response",
        "task_id": "task-0",
        "status": "success",
        "result": {"output": "data_processing done by agent-0"},
    }
    assert "task-0" not in str(step.observation["pending_tasks"])
    # What is done is done: delegating it again earns nothing.
    assert env.step(delegation()).reward == -0.3


def test_reward_task_failed() -> None:
    seed = next(seed for seed in range(20) if started(seed).step(delegation()).reward == -1.0)
    env = started(seed)
    step = env.step(delegation())
    assert step.reward == -1.0
    assert "task-0" in str(step.observation["pending_tasks"])
    assert anything(step.observation["message_queue"])[-1] == {
        "type": "task_response",
        "task_id": "task-0",
        "status": "failure",
        "error": "Task execution failed",
    }


def test_success_has_the_specified_probability() -> None:
    won = [started(seed).step(delegation()).reward == 2.0 for seed in range(2000)]
    assert sum(won) / len(won) == pytest.approx(0.7 * (1 - 0.5 * 0.3), abs=0.035)


@pytest.mark.parametrize(
    ("status", "result", "reward"),
    [
        ("failure", None, 0.0),
        ("success", {"value": -1}, -1.0),
        ("success", {"value": True}, -1.0),
        ("success", {}, -1.0),
    ],
)
def test_a_request_is_answered_once(status: str, result: JsonObject | None, reward: float) -> None:
    env = started()
    request = with_request(env)
    answer = response(request["task_id"], status, result)
    assert env.step(answer).reward == reward
    assert env.step(answer).info["violations"] == ["Task not found"]


def test_requests_show_an_a2a_message_and_when_they_expire() -> None:
    env = started()
    request = with_request(env)
    assert request["source_agent"] in {agent.id for agent in env.agents}
    assert request["message"]["taskId"] == request["task_id"]
    assert request["expires_at_step"] == env.step_count + 5


def test_a_request_left_unanswered_is_a_violation() -> None:
    env = started()
    request = with_request(env)
    step = until(env, NOTHING, lambda step: bool(step.info["violations"]))
    assert step.info["violations"] == ["Task request left unanswered"]
    assert env.step_count == request["expires_at_step"]
    assert step.reward == -0.5
    assert request not in requests_in(step.observation)


def test_a_request_may_be_answered_in_its_last_step() -> None:
    env = started()
    request = with_request(env)
    for _ in range(4):
        env.step(NOTHING)
    right = response(request["task_id"], "success", {"value": solution(request)})
    assert env.step(right).reward == 1.0


@pytest.mark.parametrize("seed", range(20))
def test_every_request_arrives_before_an_episode_can_end(seed: int) -> None:
    env = started(seed)
    assert len(env.requests) == 3
    assert all(1 <= request.arrives <= 8 < len(env.tasks) for request in env.requests)


def test_episode_ends_on_max_steps() -> None:
    env = started()
    refused = response("request-0", "failure")
    ends = [env.step(refused)[2:4] for _ in range(100)]
    assert ends[-1] == (False, True)
    assert set(ends[:-1]) == {(False, False)}


def test_episode_ends_on_violations() -> None:
    env = started()
    dance: JsonObject = {"type": "dance"}
    steps = [env.step(dance) for _ in range(6)]
    assert [step.terminated for step in steps] == [False] * 5 + [True]
    assert not steps[-1].truncated


def test_episode_ends_on_all_tasks() -> None:
    env = started()
    agents = {capability: agent.id for agent in env.agents for capability in agent.capabilities}
    steps = [
        until(env, delegation(task.id, agents[task.type]), lambda step: step.reward >= 1.5)
        for task in env.tasks
    ]
    assert [step.terminated for step in steps] == [False] * 9 + [True]
    assert steps[-1].observation["pending_tasks"] == []
    assert env.completed_tasks == 10


def test_a_forged_sender_ends_the_episode() -> None:
    step = started().step(delegation(message={**MESSAGE, "metadata": {"source_agent": "agent-3"}}))
    assert step.info["violations"] == ["Critical protocol violation: forged sender agent-3"]
    assert (step.reward, step.terminated) == (-0.5, True)


def test_a_sender_of_ones_own_is_no_forgery() -> None:
    named = {**MESSAGE, "metadata": {"source_agent": "router-1"}}
    assert not started().step(delegation(message=named)).terminated


def test_options_hold_for_one_episode() -> None:
    env = A2AProtocolTestEnv()
    observation = env.reset(0, {"num_tasks": 1, "max_steps": 2})
    assert len(anything(observation["pending_tasks"])) == 1
    assert [env.step(NOTHING).truncated for _ in range(2)] == [False, True]
    assert len(anything(env.reset(0)["pending_tasks"])) == 10
    assert env.max_episode_steps == 100


@pytest.mark.parametrize("wrong", [0, 51, "3", True, 1.5])
def test_a_wrong_option_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="num_tasks"):
        A2AProtocolTestEnv().reset(0, {"num_tasks": wrong})


def test_luck_belongs_to_the_task_and_not_to_the_order() -> None:
    early, late = started(3), started(3)
    first = [early.step(delegation()).reward for _ in range(2)]
    for _ in range(3):
        late.step(delegation("task-4", "agent-4"))
    assert [round(late.step(delegation()).reward) for _ in range(2)] == [round(r) for r in first]


def test_the_queue_stays_short() -> None:
    env = started()
    sizes = []
    for number in range(100):
        step = env.step(discovery("api_calls", "debugging", "analytics", str(number)))
        sizes.append(len(dumps(step.observation)))
        if step.terminated or step.truncated:
            break
    assert max(sizes) < 4000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = st.sampled_from(["task-0", "task-1", "request-0", "request-1", "agent-0", "agent-1"]) | JSON
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "capabilities": st.lists(st.sampled_from(["api_calls", "debugging"])) | JSON,
        "task_id": NAMES,
        "target_agent": NAMES,
        "message": st.just(MESSAGE) | JSON,
        "status": st.sampled_from(["success", "failure"]) | JSON,
        "result": st.fixed_dictionaries({"value": st.integers(1, 60)}) | JSON,
    },
)
KINDS = st.sampled_from(["discover_agents", "delegate_task", "respond_to_task"]) | st.text(
    min_size=1
)
ACTIONS = st.lists(
    st.fixed_dictionaries({"type": KINDS, "parameters": PARAMETERS}), min_size=1, max_size=40
)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), actions=ACTIONS)
def test_any_actions_leave_a_sound_and_repeatable_episode(seed: int, actions: list[Any]) -> None:
    env, again = A2AProtocolTestEnv(), A2AProtocolTestEnv()
    schema = jsonschema.Draft202012Validator(env.observation_space())
    assert env.reset(seed) == again.reset(seed)
    for action in actions:
        before = copy.deepcopy(action)
        step = env.step(action)
        assert action == before, "the caller's action was changed"
        assert again.step(action) == step
        schema.validate(step.observation)
        assert -3.0 <= step.reward <= 2.0
        assert not (step.terminated and step.truncated)
        if step.terminated or step.truncated:
            return
