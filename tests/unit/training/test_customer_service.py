from __future__ import annotations

from typing import Any

import pytest

from agentcore.kit.jsonvalue import JsonObject, dumps
from agentcore.training.openenv.environments.customer_service import (
    CustomerServiceEnv,
    satisfaction,
)
from agentcore.training.openenv.environments.customer_service_world import MOST_CONTACTS


def assignment(ticket: str, agent: str = "ada") -> JsonObject:
    return {"type": "routing_decision", "parameters": {"ticket": ticket, "selected_agent": agent}}


def started(seed: int = 0, **options: int) -> CustomerServiceEnv:
    env = CustomerServiceEnv()
    env.reset(seed, {**options})
    return env


def alone(*, luck: int = 0, **ticket: Any) -> CustomerServiceEnv:
    """One ticket, at a desk where everybody resolves whatever has luck below 50."""
    env = started(num_tickets=1)
    only = env.tickets[0]
    only.luck, only.premium, only.patience = (luck,) * MOST_CONTACTS, False, 10
    for name, value in ticket.items():
        setattr(only, name, value)
    for agent in env.agents:
        agent.competence = dict.fromkeys(agent.competence, 50)
    return env


@pytest.mark.parametrize(
    ("resolved", "waited", "contacts", "premium", "reward"),
    [
        (True, 0, 1, False, 1.0),
        (True, 5, 1, False, 0.8),
        (True, 5, 2, False, 0.5),
        (True, 5, 1, True, 1.6),
        (True, 50, 3, True, 0.0),
        (False, 3, 1, False, -1.0),
        (False, 3, 3, True, -2.0),
    ],
)
def test_satisfaction(
    resolved: bool, waited: int, contacts: int, premium: bool, reward: float
) -> None:
    found = satisfaction(resolved=resolved, waited=waited, contacts=contacts, premium=premium)
    assert found == reward


def test_a_resolved_ticket_ends_the_episode() -> None:
    env = alone()
    step = env.step(assignment("ticket-0"))
    assert step.reward == satisfaction(resolved=True, waited=2, contacts=1, premium=False) == 0.92
    assert step.terminated
    assert step.info == {"score": 1.0}
    assert step.observation["outcomes"] == [
        {
            "tick": 2,
            "ticket": "ticket-0",
            "topic": env.tickets[0].topic,
            "agent": "ada",
            "outcome": "resolved",
            "satisfaction": 0.92,
        }
    ]


def test_a_failure_comes_back_and_the_third_loses_the_customer() -> None:
    env = alone(luck=99, premium=True)
    steps = [env.step(assignment("ticket-0")) for _ in range(MOST_CONTACTS)]
    assert [step.reward for step in steps] == [0.0, 0.0, -2.0]
    assert [step.terminated for step in steps] == [False, False, True]
    outcomes: Any = steps[-1].observation["outcomes"]
    assert [each["outcome"] for each in outcomes] == ["reopened", "reopened", "lost"]
    shown: Any = steps[0].observation["tickets"]
    assert (shown[0]["contacts"], shown[0]["waited"]) == (1, 2)


def test_who_is_not_attended_to_leaves() -> None:
    env = alone(patience=2)
    rewards = [env.step(assignment("nobody's")).reward for _ in range(3)]
    assert rewards == [-0.3, -0.3, -1.3]
    assert env.state.lost == 1
    assert str(env.step_count) == "3"


def test_load_slows_and_distracts() -> None:
    env = started(num_tickets=3)
    agent = env.agents[0]
    agent.competence = dict.fromkeys(agent.competence, 50)
    chances = []
    for ticket in env.tickets:
        ticket.patience = 99
        chances.append(agent.chance(ticket.topic))
        env.step(assignment(ticket.id))
    assert chances[:2] == [50, 38]
    assert [ticket.ends for ticket in env.tickets[:2]] == [2, 4]


def test_a_full_desk_refuses() -> None:
    env = started()
    env.agents[0].open = [env.tickets[0]] * 3
    env.tickets[0].ends = 99
    step = env.step(assignment("ticket-1"))
    assert (step.reward, step.info["error"]) == (-0.2, "Support agent has too many open tickets")


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (assignment("ticket-99"), "Ticket not found"),
        (assignment("ticket-29"), "Ticket not found"),
        (assignment("ticket-0", "eve"), "Support agent not found"),
    ],
)
def test_what_does_not_exist_costs_reward_and_time(action: JsonObject, error: str) -> None:
    env = started()
    step = env.step(action)
    assert (step.reward, step.info["error"]) == (-0.3, error)
    assert env.state.clock == 1


def test_a_ticket_at_work_cannot_be_assigned_again() -> None:
    env = started()
    env.step(assignment("ticket-0"))
    assert env.step(assignment("ticket-0", "ben")).info["error"] == "Ticket not found"


def test_the_reward_of_all_steps_is_the_satisfaction_of_all_customers() -> None:
    env = started(4)
    total, told = 0, {}
    observation = env.reset(4)
    done = False
    while not done:
        tickets: Any = observation["tickets"]
        agents: Any = observation["agents"]
        agent = min(agents, key=lambda each: each["open_tickets"])
        step = env.step(assignment(tickets[0]["id"], agent["id"]))
        observation, done = step.observation, step.terminated or step.truncated
        total += round(100 * step.reward)
        outcomes: Any = observation["outcomes"]
        told.update({each["ticket"]: each for each in outcomes if each["outcome"] != "reopened"})
    assert set(told) == {ticket.id for ticket in env.tickets}
    assert total == sum(round(100 * each["satisfaction"]) for each in told.values())
    assert env.state.resolved + env.state.lost == len(env.tickets)


def test_what_is_hidden_stays_hidden() -> None:
    one, other = started(5), started(5)
    for agent in other.agents:
        agent.competence = {topic: 99 - value for topic, value in agent.competence.items()}
        agent.fatigue = 40
    for ticket in other.tickets:
        ticket.luck = tuple(99 - luck for luck in ticket.luck)
        ticket.topic = "billing"
    assert dumps(one.visible_state()) == dumps(other.visible_state())
    shown = [env.step(assignment("ticket-99")).observation for env in (one, other)]
    assert dumps(shown[0]) == dumps(shown[1])
