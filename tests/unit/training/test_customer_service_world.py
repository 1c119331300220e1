from __future__ import annotations

from random import Random

import pytest

from agentcore.training.openenv.environments.customer_service_policies import topic_of
from agentcore.training.openenv.environments.customer_service_world import (
    MOST_FATIGUE,
    SUBJECTS,
    TOPICS,
    SupportAgent,
    Ticket,
    support_agents,
    tickets,
)


def ticket(luck: int = 0) -> Ticket:
    return Ticket(
        id="t",
        topic="billing",
        label="billing",
        subject="I was charged twice",
        premium=False,
        arrived=0,
        patience=3,
        luck=(luck,) * 3,
    )


def test_work_tires_and_rest_helps() -> None:
    agent = SupportAgent(id="a", skills=("billing",), competence={"billing": 90})
    for tick in range(0, 40, 4):
        agent.take(ticket(), tick)
        assert agent.finish(tick + 1) == []
        assert len(agent.finish(tick + 2)) == 1
    assert agent.fatigue == MOST_FATIGUE
    assert agent.chance("billing") == 50
    agent.rest()
    assert agent.chance("billing") == 52
    agent.take(ticket(), 50)
    agent.rest()
    assert agent.fatigue == MOST_FATIGUE - 2


@pytest.mark.parametrize(("luck", "resolved"), [(69, True), (70, False)])
def test_luck_decides_against_the_chance(luck: int, resolved: bool) -> None:
    agent = SupportAgent(id="a", skills=("billing",), competence={"billing": 70})
    taken = ticket(luck)
    agent.take(taken, 0)
    assert taken.resolved is resolved


def test_patience_begins_anew_when_a_ticket_comes_back() -> None:
    waiting = ticket()
    assert [waiting.gives_up(tick) for tick in (3, 4)] == [False, True]
    waiting.reopen(10)
    assert [waiting.gives_up(tick) for tick in (13, 14)] == [False, True]


def test_a_subject_tells_its_topic_to_whoever_reads() -> None:
    for topic, subjects in SUBJECTS.items():
        for subject in subjects:
            assert topic_of({"subject": subject.format(1234), "label": "none"}) == topic
    assert topic_of({"subject": "Hello", "label": "account"}) == "account"


def test_labels_are_wrong_at_the_documented_rate() -> None:
    drawn = tickets(Random(0), 4000)
    wrong = sum(each.label != each.topic for each in drawn) / len(drawn)
    assert wrong == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("seed", range(20))
def test_every_topic_is_listed_twice_and_mastered_by_somebody(seed: int) -> None:
    agents = support_agents(Random(seed))
    for topic in TOPICS:
        assert sum(topic in agent.skills for agent in agents) == 2
        assert max(agent.competence[topic] for agent in agents) >= 70
