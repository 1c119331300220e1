"""Players of ``customer_service``."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.reading import members, number, strings
from agentcore.training.openenv.models import Action

# Words by which a reader tells a subject's topic.
WORDS: Mapping[str, tuple[str, ...]] = {
    "shipping": ("parcel", "box"),
    "account": ("user",),
    "technical": ("crashes", "error", "page", "export"),
    "billing": ("charged", "invoice", "refund", "price"),
}
# Percent that a listed and an unlisted skill promise, and how many outcomes that trust is worth.
LISTED, UNLISTED, TRUST = 65.0, 38.0, 1.2
# Percent that a further open ticket takes from an agent's success.
LOAD = 14.0
FULL = 3


class ServiceRandomPolicy:
    """Any waiting ticket to any agent."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def act(self, observation: JsonObject) -> Action:
        ticket = self._random.choice(members(observation, "tickets"))
        return assign(ticket, self._random.choice(members(observation, "agents")))


class ServiceByLabelPolicy:
    """The oldest ticket to the agent with the fewest open that lists its label."""

    def act(self, observation: JsonObject) -> Action:
        ticket = members(observation, "tickets")[0]
        agents = members(observation, "agents")
        able = [agent for agent in agents if ticket["label"] in strings(agent["skills"])]
        return assign(ticket, min(able, key=lambda agent: number(agent["open_tickets"])))


class ServiceReferencePolicy:
    """Reads the subject, weighs the roster by outcomes, spreads the load, attends to who pays."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], list[float]] = {}
        self._clock = 0.0

    def act(self, observation: JsonObject) -> Action:
        self._learn(members(observation, "outcomes"))
        self._clock = number(observation["clock"])
        agents = members(observation, "agents")
        free = [agent for agent in agents if number(agent["open_tickets"]) < FULL]
        pairs = [
            (self._worth(ticket, agent), -index, position, ticket, agent)
            for index, ticket in enumerate(members(observation, "tickets"))
            for position, agent in enumerate(free or agents)
        ]
        *_, ticket, agent = max(pairs, key=lambda pair: pair[:3])
        return assign(ticket, agent)

    def _learn(self, outcomes: list[JsonObject]) -> None:
        for outcome in outcomes:
            agent = outcome["agent"]
            if isinstance(agent, str) and number(outcome["tick"]) > self._clock:
                result = 100.0 if outcome["outcome"] == "resolved" else 0.0
                self._seen.setdefault((agent, str(outcome["topic"])), []).append(result)

    def _worth(self, ticket: JsonObject, agent: JsonObject) -> float:
        name, topic = str(agent["id"]), topic_of(ticket)
        load = number(agent["open_tickets"])
        prior = LISTED if topic in strings(agent["skills"]) else UNLISTED
        seen = self._seen.get((name, topic), [])
        chance = (prior * TRUST + sum(seen)) / (TRUST + len(seen)) - LOAD * load
        weight = 2.0 if ticket["tier"] == "premium" else 1.0
        haste = number(ticket["waited"])
        return weight * (chance + 2.0 * haste) - 4.0 * load


def topic_of(ticket: JsonObject) -> str:
    """What the subject says; the label where it says nothing."""
    words = str(ticket["subject"]).lower().split()
    for topic, telling in WORDS.items():
        if any(word in words for word in telling):
            return topic
    return str(ticket["label"])


def assign(ticket: JsonObject, agent: JsonObject) -> Action:
    parameters: JsonObject = {"ticket": ticket["id"], "selected_agent": agent["id"]}
    return Action(type="routing_decision", parameters=parameters)
