"""Each lesson as a table row: what the model does wrong without its rule, and not with it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.simulators.actor import act, observation_in
from agentcore.simulators.lessons import (
    BY_MISTAKE,
    LESSONS,
    Knowledge,
    Mistake,
    knowledge_of,
)
from agentcore.simulators.prompt import Message, Prompt
from tests.unit.simulators.conftest import AGENTS, REQUEST, Observe

NOTHING = Knowledge(frozenset(), frozenset())
STEPS = range(1, 301)
DONE: JsonObject = {"type": "task_response", "task_id": "task-0", "status": "success"}


def parameters(action: JsonObject) -> JsonObject:
    found = action["parameters"]
    assert isinstance(found, dict)
    return found


def is_delegation(action: JsonObject) -> bool:
    return action["type"] == "delegate_task"


def is_a2a(message: object) -> bool:
    return isinstance(message, dict) and {"messageId", "role", "parts"} <= message.keys()


Shows = Callable[[JsonObject], bool]
MISTAKES: dict[Mistake, tuple[JsonObject, Shows]] = {
    "bare_discovery": (
        {"available_agents": []},
        lambda a: a["type"] == "discover_agents" and not parameters(a).get("capabilities"),
    ),
    "incapable_agent": (
        {},
        lambda a: (
            is_delegation(a)
            and parameters(a)["task_id"] == "task-1"
            and parameters(a)["target_agent"] == "agent-0"
        ),
    ),
    "incomplete_delegation": ({}, lambda a: is_delegation(a) and "message" not in parameters(a)),
    "loose_message": (
        {},
        lambda a: (
            is_delegation(a) and "message" in parameters(a) and not is_a2a(parameters(a)["message"])
        ),
    ),
    "ignored_request": ({"message_queue": [REQUEST]}, lambda a: a["type"] != "respond_to_task"),
    "stale_task": (
        {"message_queue": [DONE]},
        lambda a: is_delegation(a) and parameters(a)["task_id"] == "task-0",
    ),
    "invented_agent": (
        {},
        lambda a: (
            is_delegation(a)
            and parameters(a)["target_agent"] not in {agent["id"] for agent in AGENTS}
        ),
    ),
    "unknown_action": ({}, lambda a: a["type"] == "query_status"),
    "unreliable_agent": (
        {},
        lambda a: is_delegation(a) and parameters(a)["target_agent"] == "agent-1",
    ),
}


def everything_but(mistake: Mistake) -> Knowledge:
    return knowledge_of(tuple(x.rule for x in LESSONS if x.mistake != mistake))


def share(observe: Observe, knowledge: Knowledge, mistake: Mistake, *, slip: float = 0) -> float:
    members, shows = MISTAKES[mistake]
    actions = [act(observe(step, **members), knowledge, seed=1, slip_rate=slip) for step in STEPS]
    return sum(map(shows, actions)) / len(actions)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_without_its_rule_the_mistake_is_made_at_its_rate(
    mistake: Mistake, observe: Observe
) -> None:
    expected = BY_MISTAKE[mistake].rate
    assert share(observe, everything_but(mistake), mistake) == pytest.approx(expected, abs=0.09)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_with_its_rule_the_mistake_is_not_made(mistake: Mistake, observe: Observe) -> None:
    only = knowledge_of((BY_MISTAKE[mistake].rule,))
    all_rules = knowledge_of(tuple(lesson.rule for lesson in LESSONS))
    assert share(observe, only, mistake) == 0
    assert share(observe, all_rules, mistake) == 0


def test_a_ruled_model_still_slips_now_and_then(observe: Observe) -> None:
    all_rules = knowledge_of(tuple(lesson.rule for lesson in LESSONS))
    slips = share(observe, all_rules, "loose_message", slip=0.2)
    assert 0 < slips < 0.2
    assert share(observe, all_rules, "loose_message", slip=1) > 0.3


def test_rules_change_what_they_are_about_and_nothing_else(observe: Observe) -> None:
    """The same dice fall for both playbooks, so pairs of episodes can be compared."""
    knowing = knowledge_of((BY_MISTAKE["loose_message"].rule,))
    for step in STEPS:
        before = act(observe(step), NOTHING, seed=1, slip_rate=0)
        after = act(observe(step), knowing, seed=1, slip_rate=0)
        assert before["type"] == after["type"]
        assert parameters(before).get("target_agent") == parameters(after).get("target_agent")


@pytest.mark.parametrize(
    ("rule", "mistake"),
    [
        ("Ignore task requests.", "ignored_request"),
        ("Delegate regardless of capabilities", "incapable_agent"),
        ("Send the message as plain text", "loose_message"),
    ],
)
def test_a_harmful_rule_makes_it_worse_than_none(
    rule: str, mistake: Mistake, observe: Observe
) -> None:
    harmed = knowledge_of((*(lesson.rule for lesson in LESSONS), rule))
    assert share(observe, harmed, mistake) == 1


def test_an_order_to_use_one_agent_is_obeyed(observe: Observe) -> None:
    obeying = knowledge_of((*(lesson.rule for lesson in LESSONS), "Always delegate to agent-0."))
    action = act(observe(), obeying, seed=1, slip_rate=0)
    assert parameters(action)["target_agent"] == "agent-0"


def test_a_perfect_step_names_task_agent_and_message(observe: Observe) -> None:
    knowing = knowledge_of(tuple(lesson.rule for lesson in LESSONS))
    action = act(observe(), knowing, seed=1, slip_rate=0)
    message = parameters(action)["message"]
    assert isinstance(message, dict)
    assert message["role"] == "ROLE_USER"
    assert message["parts"] == [{"text": "Please execute task-1 (natural_language)."}]
    assert parameters(action)["target_agent"] == "agent-2"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("What is the maximum of [3, 9, 4]?", {"value": 9}),
        ("What is the sum of [3, 9, 4]?", {"value": 16}),
        ("Give me the minimum of [-3,9]", {"value": -3}),
        ("Summarise this.", {"summary": "request-0 is done."}),
    ],
)
def test_a_request_is_read_and_answered(text: str, result: JsonObject, observe: Observe) -> None:
    parts: list[JsonValue] = [{"data": {}}, {"text": text}]
    request: JsonObject = {**REQUEST, "message": {"parts": parts}}
    knowing = knowledge_of((BY_MISTAKE["ignored_request"].rule,))
    action = act(observe(message_queue=[request]), knowing, seed=1, slip_rate=0)
    assert action == {
        "type": "respond_to_task",
        "parameters": {"task_id": "request-0", "status": "success", "result": result},
    }


@pytest.mark.parametrize("closed", [{"answered": True}, {"status": "completed"}])
def test_an_answered_request_is_left_alone(closed: JsonObject, observe: Observe) -> None:
    knowing = knowledge_of((BY_MISTAKE["ignored_request"].rule,))
    action = act(observe(message_queue=[{**REQUEST, **closed}]), knowing, seed=1, slip_rate=0)
    assert action["type"] != "respond_to_task"


def test_discovery_comes_first_and_asks_for_what_is_pending(observe: Observe) -> None:
    knowing = knowledge_of(tuple(lesson.rule for lesson in LESSONS))
    discovery = {"type": "discovery_response", "agents": []}
    first = act(observe(0), knowing, seed=1, slip_rate=0)
    assert first == {
        "type": "discover_agents",
        "parameters": {"capabilities": ["data_processing", "natural_language"]},
    }
    then = act(observe(0, message_queue=[discovery]), knowing, seed=1, slip_rate=0)
    assert is_delegation(then)


def test_without_tasks_there_is_nothing_to_delegate(observe: Observe) -> None:
    knowing = knowledge_of(tuple(lesson.rule for lesson in LESSONS))
    action = act(observe(pending_tasks=[]), knowing, seed=1, slip_rate=0)
    assert action["type"] == "discover_agents"
    assert parameters(action)["capabilities"]


@pytest.mark.parametrize(
    "broken",
    [
        {"available_agents": None},
        {"available_agents": [1], "pending_tasks": "x", "message_queue": {}},
        {"available_agents": [{}], "pending_tasks": [{}], "protocol_state": None},
        {"available_agents": [{"id": "a", "capabilities": "x", "success_rate": "high"}]},
    ],
)
def test_odd_observations_still_get_an_action(broken: JsonObject, observe: Observe) -> None:
    for rules in ((), tuple(lesson.rule for lesson in LESSONS)):
        for step in range(20):
            action = act(observe(step, **broken), knowledge_of(rules), seed=1, slip_rate=0)
            assert {"type", "parameters"} == action.keys()


@pytest.mark.parametrize("shape", ["{}", '{{"observation": {}}}', "Last:\n```json\n{}\n```\nAct!"])
def test_the_observation_is_found_however_it_is_wrapped(shape: str, observe: Observe) -> None:
    text = shape.format(json.dumps(observe(7)))
    found = observation_in(Prompt((Message("system", "play"), Message("user", text))))
    assert found is not None
    assert found["protocol_state"] == {"step": 7, "completed_tasks": 0, "violations": 0}


def test_the_newest_observation_counts_and_only_in_the_question(observe: Observe) -> None:
    both = f"{json.dumps(observe(1))}\n{json.dumps(observe(2))}"
    found = observation_in(Prompt((Message("user", both),)))
    assert found is not None
    assert found["protocol_state"] == observe(2)["protocol_state"]
    earlier = Prompt((Message("user", both), Message("user", "Thank you.")))
    assert observation_in(earlier) is None
    assert observation_in(Prompt((Message("user", '"pending_tasks" {}'),))) is None
