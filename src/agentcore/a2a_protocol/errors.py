"""Failures of the A2A side; -32001 to -32009 are the protocol's own numbers."""

from __future__ import annotations

from collections.abc import Sequence

from agentcore.kit.errors import (
    RPC_CONFLICT,
    RPC_FORBIDDEN,
    RPC_INVALID_PARAMS,
    RPC_NOT_FOUND,
    RPC_SESSION,
    RPC_TOO_MANY,
    RPC_UNAVAILABLE,
    RPC_UPSTREAM,
    AgentCoreError,
)


class InvalidRequest(AgentCoreError):
    """Well-formed JSON that is no JSON-RPC 2.0 request."""

    code, http_status, rpc_code, retryable = "invalid_request", 400, -32600, False


class UnknownMethod(AgentCoreError):
    code, http_status, rpc_code, retryable = "unknown_method", 404, -32601, False


class InvalidParams(AgentCoreError):
    code, http_status, rpc_code, retryable = "invalid_params", 422, RPC_INVALID_PARAMS, False


class TaskNotFound(AgentCoreError):
    """No such task, or not the caller's: the two are not told apart."""

    code, http_status, rpc_code, retryable = "task_not_found", 404, -32001, False


class TaskNotCancelable(AgentCoreError):
    code, http_status, rpc_code, retryable = "task_not_cancelable", 409, -32002, False


class PushNotSupported(AgentCoreError):
    code, http_status, rpc_code, retryable = "push_notification_not_supported", 400, -32003, False


class UnsupportedOperation(AgentCoreError):
    code, http_status, rpc_code, retryable = "unsupported_operation", 400, -32004, False


class ContentTypeNotSupported(AgentCoreError):
    code, http_status, rpc_code, retryable = "content_type_not_supported", 415, -32005, False


class VersionNotSupported(AgentCoreError):
    code, http_status, rpc_code, retryable = "version_not_supported", 400, -32009, False


class AgentNotFound(AgentCoreError):
    """No such agent, or of another tenant: the two are not told apart."""

    code, http_status, rpc_code, retryable = "agent_not_found", 404, RPC_NOT_FOUND, False

    def __init__(self, agent_id: str) -> None:
        super().__init__(
            f"there is no agent {agent_id!r}", hint="agent.discover lists those of your tenant"
        )


class AgentIdTaken(AgentCoreError):
    code, http_status, rpc_code, retryable = "agent_id_taken", 409, RPC_CONFLICT, False

    def __init__(self, agent_id: str) -> None:
        super().__init__(
            f"the agent id {agent_id!r} is taken",
            hint="agent ids are unique in the installation: choose another, or give none",
        )


class AgentIdOfNoTenant(AgentCoreError):
    """The id does not end with the caller's tenant, and here it has to."""

    code, http_status, rpc_code, retryable = (
        "agent_id_of_no_tenant",
        422,
        RPC_INVALID_PARAMS,
        False,
    )

    def __init__(self, agent_id: str, tenant: str) -> None:
        super().__init__(
            f"the agent id {agent_id!r} is no name with the tenant behind it",
            hint=f"as in {agent_id.partition('.')[0]}.{tenant}; or give none",
        )


class TooManyAgents(AgentCoreError):
    code, http_status, rpc_code, retryable = "too_many_agents", 429, RPC_TOO_MANY, False

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the tenant has {most} agents, and may have no more",
            hint="terminated ones count until they are erased; "
            "AGENTCORE_A2A__MAX_AGENTS sets the limit",
        )


class NotTheOwner(AgentCoreError):
    code, http_status, rpc_code, retryable = "not_the_owner", 403, RPC_FORBIDDEN, False


class IllegalMove(AgentCoreError):
    """An agent's state does not lead where its owner wants it to go."""

    code, http_status, rpc_code, retryable = "illegal_agent_move", 409, RPC_CONFLICT, False

    def __init__(self, agent_id: str, move: str, status: str, legal: Sequence[str]) -> None:
        leads = f"what can be done: {', '.join(legal)}" if legal else "register it again"
        super().__init__(
            f"{move} is not possible: the agent {agent_id!r} is {status}", hint=leads, status=status
        )


class AgentNotAccepting(AgentCoreError):
    """The agent exists and takes no new work now."""

    code, http_status, rpc_code, retryable = "agent_not_accepting", 503, RPC_UNAVAILABLE, True

    def __init__(self, agent_id: str, status: str) -> None:
        super().__init__(
            f"the agent {agent_id!r} is {status} and takes no new task",
            hint="agent.discover finds agents that do",
            status=status,
        )


class CardUnreadable(AgentCoreError):
    """Nothing answers at the address of an agent's card, or what answers is no card."""

    code, http_status, rpc_code, retryable = "card_unreadable", 502, RPC_UPSTREAM, True

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"no agent card can be read at {url[:200]!r}: {reason}",
            hint="an agent serves its card at /.well-known/agent-card.json",
        )
        self.reason = reason


class CardNotSigned(CardUnreadable):
    """The operator wants cards of that origin signed, and this one is not, or by somebody else."""

    code, http_status, rpc_code, retryable = "card_not_signed", 422, RPC_UPSTREAM, False

    def __init__(self, url: str, reason: str) -> None:
        AgentCoreError.__init__(
            self,
            f"the card of an agent at {url[:200]!r} is not taken: {reason}",
            hint="the operator has set keys for that origin (a2a.trusted)",
        )
        self.reason = reason


class TaskEnded(AgentCoreError):
    """A hosted agent went on talking about a task that it had already ended."""

    code, http_status, rpc_code, retryable = "task_ended", 409, RPC_CONFLICT, False


class SessionRequired(AgentCoreError):
    """The method works inside an environment session only."""

    code, http_status, rpc_code, retryable = "session_required", 422, RPC_SESSION, False


class DelegationCycle(AgentCoreError):
    """The task would come back to an agent that has handed it on."""

    code, http_status, rpc_code, retryable = "delegation_cycle", 409, RPC_CONFLICT, False

    def __init__(self, agent_id: str, chain: Sequence[str]) -> None:
        super().__init__(
            f"the agent {agent_id!r} has handed on this task already: {' -> '.join(chain)}",
            hint="an agent cannot work for itself: give the task to another one",
        )


class DelegationTooDeep(AgentCoreError):
    code, http_status, rpc_code, retryable = "delegation_too_deep", 409, RPC_CONFLICT, False

    def __init__(self, agent_id: str, found: int, most: int) -> None:
        super().__init__(
            f"the task would come to {agent_id!r} as the agent number {found} of its chain",
            hint=f"AGENTCORE_A2A__DELEGATION_DEPTH allows {most}",
        )


class NoAgentForTask(AgentCoreError):
    """Nobody who could do it has taken the task; ``attempts`` of the context say why."""

    code, http_status, rpc_code, retryable = "no_agent_for_task", 503, RPC_UNAVAILABLE, True
