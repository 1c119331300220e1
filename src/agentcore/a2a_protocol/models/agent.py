"""Agents as they are kept, the states they go through, and who may be told of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from agentcore.a2a_protocol.models.task import Owner
from agentcore.kit.jsonvalue import JsonObject


class AgentStatus(StrEnum):
    """What its owner lets it do. Only an active one gets new tasks; a draining one ends its own."""

    REGISTERED = "registered"
    ACTIVE = "active"
    DRAINING = "draining"
    SUSPENDED = "suspended"
    TERMINATED = "terminated"


class Move(StrEnum):
    """What an owner may do to an agent that is registered."""

    RESUME = "resume"
    DRAIN = "drain"
    SUSPEND = "suspend"
    TERMINATE = "terminate"


@dataclass(frozen=True, slots=True)
class Step:
    """From which states a move leads, and where to."""

    before: frozenset[AgentStatus]
    after: AgentStatus


_WAITING = frozenset({AgentStatus.REGISTERED, AgentStatus.SUSPENDED})
STEPS = {
    Move.RESUME: Step(_WAITING | {AgentStatus.DRAINING}, AgentStatus.ACTIVE),
    Move.DRAIN: Step(frozenset({AgentStatus.ACTIVE}), AgentStatus.DRAINING),
    Move.SUSPEND: Step(
        frozenset({AgentStatus.ACTIVE, AgentStatus.DRAINING}), AgentStatus.SUSPENDED
    ),
    Move.TERMINATE: Step(frozenset(AgentStatus) - {AgentStatus.TERMINATED}, AgentStatus.TERMINATED),
}
# The states in which an agent goes on with what it has begun.
AT_WORK = frozenset({AgentStatus.ACTIVE, AgentStatus.DRAINING})


def moves_from(status: AgentStatus) -> tuple[Move, ...]:
    """What may be done to an agent in that state."""
    return tuple(move for move, step in STEPS.items() if status in step.before)


class AgentHealth(StrEnum):
    """What is known of an agent's answering; hosted agents are always healthy."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord:
    """``handler`` names the hosted agent that answers for it; another is at its ``endpoint``.

    ``card_url`` is where its card is read again, and then the registry follows it. After
    ``expires_at`` without a heartbeat it counts as silent. ``check_at`` is the next look at a
    remote agent's card; without it there is none.
    """

    agent_id: str
    owner: Owner
    name: str
    version: str
    status: AgentStatus
    description: str
    capabilities: tuple[str, ...]
    skills: tuple[JsonObject, ...]
    created_at: datetime
    updated_at: datetime
    last_seen: datetime
    endpoint: JsonObject | None = None
    card: JsonObject | None = None
    metadata: JsonObject = field(default_factory=dict)
    handler: str | None = None
    changed_at: datetime | None = None
    heartbeat_seconds: float | None = None
    expires_at: datetime | None = None
    health: AgentHealth = AgentHealth.UNKNOWN
    health_reason: str = ""
    card_url: str | None = None
    card_etag: str = ""
    failures: int = 0
    checked_at: datetime | None = None
    check_at: datetime | None = None

    def at(self, now: datetime) -> AgentRecord:
        """The agent as it is then: heartbeats run out by themselves."""
        if self.expires_at is None:
            return self
        if self.expires_at <= now:
            reason = f"no heartbeat since {self.last_seen.isoformat()}"
            return replace(self, health=AgentHealth.SILENT, health_reason=reason)
        if self.health is AgentHealth.UNKNOWN:
            return replace(self, health=AgentHealth.HEALTHY)
        return self

    def summary(self) -> JsonObject:
        """What other agents of the tenant get to see."""
        return {
            "agent_id": self.agent_id,
            "name": self.name,
            "version": self.version,
            "status": self.status.value,
            "health": self.health.value,
            "description": self.description,
            "capabilities": list(self.capabilities),
            "skills": list(self.skills),
            "endpoint": self.endpoint,
            "handler": self.handler,
            "metadata": self.metadata,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
            "last_seen": self.last_seen.isoformat(),
        }

    def details(self) -> JsonObject:
        """The same, and what its owner wants to know."""
        return {
            **self.summary(),
            "owner": self.owner.subject,
            "changed_at": _iso(self.changed_at),
            "moves": [move.value for move in moves_from(self.status)],
            "heartbeat_seconds": self.heartbeat_seconds,
            "expires_at": _iso(self.expires_at),
            "health_reason": self.health_reason,
            "failures": self.failures,
            "checked_at": _iso(self.checked_at),
            "check_at": _iso(self.check_at),
            "card_url": self.card_url,
            "card": self.card,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One line of an agent's log; ``by`` is a subject, or the service itself."""

    event_id: int
    agent_id: str
    what: str
    before: str
    after: str
    reason: str
    by: str
    at: datetime
    attempts: int = 0

    def summary(self) -> JsonObject:
        return {
            "what": self.what,
            "before": self.before,
            "after": self.after,
            "reason": self.reason,
            "by": self.by,
            "at": self.at.isoformat(),
        }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
