"""CustomerServiceEnv: give tickets to support agents so that customers leave satisfied.

The roster lists two topics per agent and says how many tickets each has open. How competent they
are, and how tired, is hidden; so is what a ticket is about: its label is a guess, wrong in 30 of
100, but its subject can be read. Each step assigns one ticket and takes one tick. A ticket takes
two ticks, and one more per other ticket its agent has open, which also distracts. If it is not
resolved it comes back; the third failure, or nobody attending for too long, loses the customer.

The reward of a step is the ``satisfaction`` of all customers that left in its ticks, so it comes
later than the decision it is due to. A decision that names no waiting ticket or no agent costs
0.3, an agent with three open tickets 0.2. All customers gone terminates the episode; three steps
per ticket are its limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import ClassVar

from pydantic import Field

from agentcore.kit.jsonvalue import JsonObject, JsonValue
from agentcore.training.openenv.environments.base import Environment, Parameters, Step
from agentcore.training.openenv.environments.customer_service_card import service_card
from agentcore.training.openenv.environments.customer_service_spaces import OBSERVATION_SPACE
from agentcore.training.openenv.environments.customer_service_world import (
    MOST_CONTACTS,
    MOST_OPEN,
    SupportAgent,
    Ticket,
    support_agents,
    tickets,
)
from agentcore.training.openenv.environments.options import count

UNKNOWN = -30
REFUSED = -20
RECENT_OUTCOMES = 8


class RoutingDecision(Parameters):
    """Assign a waiting ticket to a support agent."""

    ticket: str = Field(description="The id of one of tickets.", examples=["ticket-0"])
    selected_agent: str = Field(description="The id of one of agents.", examples=["ada"])


@dataclass
class ServiceState:
    clock: int = 0
    resolved: int = 0
    reopened: int = 0
    lost: int = 0


def satisfaction(*, resolved: bool, waited: int, contacts: int, premium: bool) -> float:
    """How a customer leaves: +1, less 0.04 per tick and 0.3 per further contact; lost -1.

    A resolved ticket is never worse than 0; premium customers count twice.
    Counted in hundredths, so that it is the same number everywhere.
    """
    return _hundredths(resolved=resolved, waited=waited, contacts=contacts, premium=premium) / 100


def _hundredths(*, resolved: bool, waited: int, contacts: int, premium: bool) -> int:
    points = max(0, 100 - 4 * waited - 30 * (contacts - 1)) if resolved else -100
    return 2 * points if premium else points


class CustomerServiceEnv(Environment[RoutingDecision, ServiceState]):
    name = "customer_service"
    description = (
        "Give customers' tickets to support agents with listed skills and a load: their true "
        "competence shows in outcomes, labels may be wrong. Satisfaction is the reward."
    )
    reset_options: ClassVar[tuple[str, ...]] = ("num_tickets",)

    def __init__(self) -> None:
        super().__init__()
        self.num_tickets = 30
        self.tickets: list[Ticket] = []
        self.agents: list[SupportAgent] = []
        self._outcomes: list[JsonObject] = []
        self.max_episode_steps = 3 * self.num_tickets

    def observation_space(self) -> JsonObject:
        return OBSERVATION_SPACE

    def begin(self, random: Random, options: JsonObject) -> JsonObject:
        number = count(options, "num_tickets", self.num_tickets, most=200)
        self.max_episode_steps = 3 * number
        self.tickets = tickets(random, number)
        self.agents = support_agents(random)
        self._outcomes = []
        return self._observation()

    def act(self, action: RoutingDecision) -> Step:
        points, info = self._assign(action)
        points += self._pass_time()
        over = all(ticket.closed for ticket in self.tickets)
        info["score"] = self.state.resolved / len(self.tickets)
        return Step(self._observation(), points / 100, over, info=info)

    def render(self) -> bytes:
        return service_card(self._observation(), self.state.resolved, self.state.lost)

    def _assign(self, action: RoutingDecision) -> tuple[int, JsonObject]:
        ticket = next((t for t in self._waiting() if t.id == action.ticket), None)
        if ticket is None:
            return UNKNOWN, {"error": "Ticket not found"}
        agent = next((a for a in self.agents if a.id == action.selected_agent), None)
        if agent is None:
            return UNKNOWN, {"error": "Support agent not found"}
        if len(agent.open) >= MOST_OPEN:
            return REFUSED, {"error": "Support agent has too many open tickets"}
        agent.take(ticket, self.state.clock)
        return 0, {}

    def _pass_time(self) -> int:
        """One tick, or as many as it takes until a ticket waits or the last is closed."""
        points = self._tick()
        while not self._waiting() and not all(ticket.closed for ticket in self.tickets):
            points += self._tick()
        return points

    def _tick(self) -> int:
        """The points of all who leave in the next tick."""
        self.state.clock += 1
        points = 0
        for agent in self.agents:
            agent.rest()
            for ticket in agent.finish(self.state.clock):
                points += self._returned(ticket)
        for ticket in self.tickets:
            if ticket.gives_up(self.state.clock):
                points += self._leave(ticket, "lost")
        return points

    def _returned(self, ticket: Ticket) -> int:
        """An agent is done with ``ticket``, for better or worse."""
        if ticket.resolved:
            return self._leave(ticket, "resolved")
        if ticket.contacts >= MOST_CONTACTS:
            return self._leave(ticket, "lost")
        self.state.reopened += 1
        self._tell(ticket, "reopened", 0)
        ticket.reopen(self.state.clock)
        return 0

    def _leave(self, ticket: Ticket, outcome: str) -> int:
        ticket.closed = True
        resolved = outcome == "resolved"
        self.state.resolved += resolved
        self.state.lost += not resolved
        points = _hundredths(
            resolved=resolved,
            waited=self.state.clock - ticket.arrived,
            contacts=ticket.contacts,
            premium=ticket.premium,
        )
        self._tell(ticket, outcome, points)
        return points

    def _tell(self, ticket: Ticket, outcome: str, points: int) -> None:
        told: JsonObject = {
            "tick": self.state.clock,
            "ticket": ticket.id,
            "topic": ticket.topic,
            "agent": ticket.agent,
            "outcome": outcome,
            "satisfaction": points / 100,
        }
        self._outcomes = [*self._outcomes, told][-RECENT_OUTCOMES:]

    def _waiting(self) -> list[Ticket]:
        return [ticket for ticket in self.tickets if ticket.waits(self.state.clock)]

    def _observation(self) -> JsonObject:
        clock = self.state.clock
        recent: list[JsonValue] = [*self._outcomes]
        return {
            "clock": clock,
            "tickets": [ticket.to_dict(clock) for ticket in self._waiting()],
            "agents": [agent.to_dict() for agent in self.agents],
            "outcomes": recent,
            "tickets_to_come": sum(ticket.arrived > clock for ticket in self.tickets),
        }
