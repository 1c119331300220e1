"""Who may see an agent's context: its tenant, or, where a token is an agent's own, that agent.

The subject of an agent's own token is ``agent:`` and the agent's id.
"""

from __future__ import annotations

from agentcore.kit.security import Principal

AGENT = "agent:"


def sees(principal: Principal | None, agent_id: str, *, tenant: str) -> bool:
    """Whether ``principal`` may know of ``agent_id``, which is ``tenant``'s; None is AgentCore."""
    if principal is None:
        return True
    return principal.tenant == tenant and speaks_for(principal, agent_id)


def speaks_for(principal: Principal, agent_id: str) -> bool:
    """False for the token of another agent."""
    return not principal.subject.startswith(AGENT) or principal.subject == f"{AGENT}{agent_id}"
