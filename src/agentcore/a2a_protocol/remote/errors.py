"""What goes wrong with agents elsewhere; each names the agent and the cause."""

from __future__ import annotations

from agentcore.kit.errors import (
    RPC_DEADLINE,
    RPC_INVALID_PARAMS,
    RPC_PRIVACY,
    RPC_UPSTREAM,
    AgentCoreError,
)


class RemoteAgentUnreachable(AgentCoreError):
    """Nothing has reached the agent: the call may be repeated, also to another one."""

    code, http_status, rpc_code, retryable = "agent_unreachable", 502, RPC_UPSTREAM, True


class RemoteAgentLost(AgentCoreError):
    """The connection broke, or the agent's server failed, after the agent may have heard us."""

    code, http_status, rpc_code, retryable = "agent_lost", 502, RPC_UPSTREAM, True


class RemoteAgentSilent(AgentCoreError):
    code, http_status, rpc_code, retryable = "agent_silent", 504, RPC_DEADLINE, True


class RemoteAgentRefused(AgentCoreError):
    """The agent answered with an error; ``context`` has its JSON-RPC code or HTTP status."""

    code, http_status, rpc_code, retryable = "agent_refused", 502, RPC_UPSTREAM, False


class RemoteAgentUnreadable(AgentCoreError):
    """What the agent sent is no A2A, or more than is taken."""

    code, http_status, rpc_code, retryable = "agent_unreadable", 502, RPC_UPSTREAM, False


class RemoteAddressRefused(AgentCoreError):
    """The agent's card leads nowhere that we would connect to."""

    code, http_status, rpc_code, retryable = (
        "agent_address_refused",
        422,
        RPC_INVALID_PARAMS,
        False,
    )


class RemoteAgentNotPrivate(AgentCoreError):
    code, http_status, rpc_code, retryable = "agent_not_private", 403, RPC_PRIVACY, False

    def __init__(self, agent_id: str, where: str) -> None:
        super().__init__(
            f"the task is private, and the agent {agent_id!r} at {where} may not have it",
            hint="the operator allows it by a2a.trusted with private = true for that origin",
        )
