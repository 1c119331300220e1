from __future__ import annotations

from agentcore.kit.errors import (
    RPC_CONFLICT,
    RPC_INTERNAL,
    RPC_NOT_FOUND,
    RPC_UNAVAILABLE,
    AgentCoreError,
)


class OperationUnderWay(AgentCoreError):
    """Something is being done to the same target; ``operation_id`` names it."""

    code, http_status, rpc_code, retryable = "operation_under_way", 409, RPC_CONFLICT, True

    def __init__(self, target: str, operation_id: str) -> None:
        super().__init__(
            f"{target!r} is being deployed or removed at this moment",
            hint="wait for that operation to end",
            operation_id=operation_id,
        )


class OperationNotFound(AgentCoreError):
    code, http_status, rpc_code, retryable = "operation_not_found", 404, RPC_NOT_FOUND, False


class OperationInterrupted(AgentCoreError):
    """Whoever worked on it went away each time: it is not begun once more."""

    code, http_status, rpc_code, retryable = "operation_interrupted", 500, RPC_INTERNAL, False


class OperationCancelled(AgentCoreError):
    code, http_status, rpc_code, retryable = "operation_cancelled", 503, RPC_UNAVAILABLE, True
