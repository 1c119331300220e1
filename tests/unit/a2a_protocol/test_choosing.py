from __future__ import annotations

from agentcore.a2a_protocol.delegation.choosing import in_order
from agentcore.a2a_protocol.models.agent import AgentHealth, AgentStatus
from agentcore.a2a_protocol.ports import Candidate


def agent(
    agent_id: str,
    score: int = 10,
    health: AgentHealth = AgentHealth.HEALTHY,
    open_tasks: int = 0,
    status: AgentStatus = AgentStatus.ACTIVE,
    *,
    card: bool = True,
) -> Candidate:
    return Candidate(
        agent_id=agent_id,
        name=agent_id,
        status=status,
        health=health,
        score=score,
        open_tasks=open_tasks,
        card={} if card else None,
    )


def test_fit_then_health_then_load() -> None:
    found = [
        agent("best-but-silent", 30, AgentHealth.SILENT),
        agent("busy", open_tasks=3),
        agent("unknown", health=AgentHealth.UNKNOWN),
        agent("idle"),
        agent("better", 20, AgentHealth.UNKNOWN),
        agent("sick", 10, AgentHealth.UNHEALTHY),
    ]
    names = [each.agent_id for each in in_order(found, ())]
    assert names == ["better", "idle", "busy", "unknown", "best-but-silent", "sick"]


def test_who_cannot_be_asked() -> None:
    found = [
        agent("gone", status=AgentStatus.TERMINATED),
        agent("nowhere", card=False),
        agent("been"),
        agent("able"),
        agent("able", 5),
    ]
    assert [each.agent_id for each in in_order(found, {"been"})] == ["able"]
