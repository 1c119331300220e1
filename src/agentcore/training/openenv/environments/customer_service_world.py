"""The hidden world of CustomerServiceEnv: what customers mean, and how good support agents are.

Everything that chance decides is drawn when the episode begins, in whole numbers: two policies on
one seed meet the same customers with the same luck, and no machine rounds differently.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from agentcore.kit.jsonvalue import JsonObject, JsonValue

SUBJECTS: dict[str, tuple[str, ...]] = {
    "billing": (
        "I was charged twice for order {}",
        "The invoice for order {} shows a wrong amount",
        "Where is the refund for order {}",
        "The price of order {} changed after I had paid",
    ),
    "technical": (
        "The app crashes when I open project {}",
        "Error {} since the last update",
        "The page of project {} stays white",
        "The export stops at row {}",
    ),
    "account": (
        "I cannot sign in as user {}",
        "Please change the e-mail address of user {}",
        "Codes for the second factor of user {} never come",
        "Please close the account of user {}",
    ),
    "shipping": (
        "Parcel {} has not arrived",
        "Parcel {} went to the wrong address",
        "The tracking of parcel {} stands still",
        "The box of order {} came damaged",
    ),
}
TOPICS = tuple(SUBJECTS)
NAMES = ("ada", "ben", "chi", "dan")
# Out of a hundred topics, how many the classifier in front of the desk gets wrong.
MISLABELLED = 30
MOST_OPEN = 3
MOST_CONTACTS = 3
TICKS_TO_HANDLE = 2
# Percent of luck that each further open ticket and each tired tick take from an agent.
DISTRACTION = 12
FATIGUE_PER_TICKET, RECOVERY_PER_TICK, MOST_FATIGUE = 8, 2, 40


@dataclass(slots=True)
class SupportAgent:
    """``skills`` are on the roster; ``competence`` in percent and ``fatigue`` are hidden."""

    id: str
    skills: tuple[str, ...]
    competence: dict[str, int]
    fatigue: int = 0
    open: list[Ticket] = field(default_factory=list)

    def chance(self, topic: str) -> int:
        """Percent of luck with which the ticket that it takes on now is resolved."""
        return self.competence[topic] - DISTRACTION * len(self.open) - self.fatigue

    def take(self, ticket: Ticket, tick: int) -> None:
        ticket.contacts += 1
        ticket.resolved = ticket.luck[ticket.contacts - 1] < self.chance(ticket.topic)
        ticket.ends = tick + TICKS_TO_HANDLE + len(self.open)
        ticket.agent = self.id
        self.open.append(ticket)

    def rest(self) -> None:
        if not self.open:
            self.fatigue = max(0, self.fatigue - RECOVERY_PER_TICK)

    def finish(self, tick: int) -> list[Ticket]:
        """Tickets that end at ``tick``, taken off the desk."""
        done = [ticket for ticket in self.open if ticket.ends <= tick]
        self.open = [ticket for ticket in self.open if ticket.ends > tick]
        self.fatigue = min(MOST_FATIGUE, self.fatigue + FATIGUE_PER_TICKET * len(done))
        return done

    def to_dict(self) -> JsonObject:
        return {"id": self.id, "skills": list(self.skills), "open_tickets": len(self.open)}


@dataclass(slots=True)
class Ticket:
    """``topic``, ``patience`` (ticks unattended) and ``luck`` are hidden; ``label`` is a guess."""

    id: str
    topic: str
    label: str
    subject: str
    premium: bool
    arrived: int
    patience: int
    luck: tuple[int, ...]
    waiting_since: int = 0
    contacts: int = 0
    agent: str | None = None
    ends: int = 0
    resolved: bool = False
    closed: bool = False

    def waits(self, tick: int) -> bool:
        return self.agent is None and not self.closed and self.arrived <= tick

    def gives_up(self, tick: int) -> bool:
        return self.waits(tick) and tick - self.waiting_since > self.patience

    def reopen(self, tick: int) -> None:
        self.agent, self.waiting_since = None, tick

    def to_dict(self, tick: int) -> JsonObject:
        tier: JsonValue = "premium" if self.premium else "standard"
        return {
            "id": self.id,
            "subject": self.subject,
            "label": self.label,
            "tier": tier,
            "waited": tick - self.arrived,
            "contacts": self.contacts,
        }


def support_agents(random: Random) -> list[SupportAgent]:
    """Each lists a topic it masters and one it may not; half of them hide a talent."""
    agents = []
    for index, name in enumerate(NAMES):
        first, second, third, fourth = (
            TOPICS[(index + offset) % len(TOPICS)] for offset in range(len(TOPICS))
        )
        talented = random.randrange(2) == 0
        competence = {
            first: 70 + random.randrange(30),
            second: 25 + random.randrange(50),
            third: 85 + random.randrange(15) if talented else 20 + random.randrange(20),
            fourth: 15 + random.randrange(20),
        }
        listed = tuple(topic for topic in TOPICS if topic in (first, second))
        agents.append(SupportAgent(id=name, skills=listed, competence=competence))
    return agents


def tickets(random: Random, count: int) -> list[Ticket]:
    """In the order of their arrival: three at once, then two in three ticks."""
    drawn, tick = [], 0
    for index in range(count):
        if index >= 3:
            tick += random.randrange(4)
        topic = TOPICS[random.randrange(len(TOPICS))]
        wrong = random.randrange(100) < MISLABELLED
        other = TOPICS[(TOPICS.index(topic) + 1 + random.randrange(3)) % len(TOPICS)]
        subjects = SUBJECTS[topic]
        subject = subjects[random.randrange(len(subjects))]
        drawn.append(
            Ticket(
                id=f"ticket-{index}",
                topic=topic,
                label=other if wrong else topic,
                subject=subject.format(1000 + random.randrange(9000)),
                premium=random.randrange(4) == 0,
                arrived=tick,
                patience=6 + random.randrange(9),
                luck=tuple(random.randrange(100) for _ in range(MOST_CONTACTS)),
                waiting_since=tick,
            )
        )
    return drawn
