"""The picture of CustomerServiceEnv: what the desk's dispatcher sees."""

from __future__ import annotations

from agentcore.kit.jsonvalue import JsonObject
from agentcore.training.openenv.environments.cards import Bar, Cell, Table, Verdict, card
from agentcore.training.openenv.environments.customer_service_world import MOST_OPEN
from agentcore.training.openenv.environments.reading import members, number, strings


def service_card(observation: JsonObject, resolved: int, lost: int) -> bytes:
    facts = {
        "tick": observation["clock"],
        "resolved": resolved,
        "lost": lost,
        "to come": observation["tickets_to_come"],
    }
    agents = Table(
        "Support agents",
        {"agent": 2, "listed skills": 5, "open tickets": 3},
        [_agent(agent) for agent in members(observation, "agents")],
    )
    tickets = Table(
        "Waiting tickets",
        {"ticket": 4, "subject": 14, "label": 4, "tier": 4, "waited": 3, "contacts": 3},
        [
            [str(ticket[name]) for name in ("id", "subject", "label", "tier", "waited", "contacts")]
            for ticket in members(observation, "tickets")
        ],
    )
    outcomes = Table(
        "Latest outcomes",
        {"ticket": 3, "topic": 3, "agent": 3, "outcome": 3, "satisfaction": 3},
        [_outcome(outcome) for outcome in reversed(members(observation, "outcomes"))],
    )
    return card("Customer service", facts, agents, tickets, outcomes)


def _agent(agent: JsonObject) -> list[Cell]:
    open_tickets = number(agent["open_tickets"])
    return [
        str(agent["id"]),
        ", ".join(strings(agent["skills"])),
        Bar(open_tickets / MOST_OPEN, f"{open_tickets:.0f}"),
    ]


def _outcome(outcome: JsonObject) -> list[Cell]:
    word = str(outcome["outcome"])
    closed = "" if word == "reopened" else f"{number(outcome['satisfaction']):+.2f}"
    return [
        str(outcome["ticket"]),
        str(outcome["topic"]),
        str(outcome["agent"] or "nobody"),
        Verdict(word, good=word == "resolved"),
        closed,
    ]
