"""Who is asked first. Pure: candidates in, an order out."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from agentcore.a2a_protocol.models.agent import AgentHealth, AgentStatus
from agentcore.a2a_protocol.ports import Candidate

# Asked only when nobody else can do it: they may have come back.
DOUBTFUL = frozenset({AgentHealth.UNHEALTHY, AgentHealth.SILENT})


def in_order(candidates: Iterable[Candidate], without: Collection[str]) -> list[Candidate]:
    """Those that take tasks, but for ``without``: the able before the doubtful, the best fit first.

    Of equal ones the agent that is known to answer comes first, then the one with less to do.
    """
    able = [
        each
        for each in candidates
        if each.status is AgentStatus.ACTIVE
        and each.agent_id not in without
        and (each.hosted or each.card is not None)
    ]
    best: dict[str, Candidate] = {}
    for each in sorted(able, key=_order):
        # An agent of the service may also be in the registry.
        best.setdefault(each.agent_id, each)
    return list(best.values())


def _order(candidate: Candidate) -> tuple[bool, int, bool, int, str]:
    return (
        candidate.health in DOUBTFUL,
        -candidate.score,
        candidate.health is AgentHealth.UNKNOWN,
        candidate.open_tasks,
        candidate.agent_id,
    )
