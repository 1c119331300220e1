"""What can go wrong when a cluster is given another model."""

from __future__ import annotations

from agentcore.kit.errors import RPC_CONFLICT, RPC_NOT_FOUND, RPC_UNAVAILABLE, AgentCoreError


class ModelNotInCatalogue(AgentCoreError):
    """The scheduler does not know the model; asking for it would end what it serves."""

    code, http_status, rpc_code, retryable = "model_not_in_catalogue", 404, RPC_NOT_FOUND, False


class ModelSwitchUnderway(AgentCoreError):
    code, http_status, rpc_code, retryable = "model_switch_underway", 409, RPC_CONFLICT, True


class ClusterNotDrained(AgentCoreError):
    """Calls did not end in time; nothing was changed."""

    code, http_status, rpc_code, retryable = "cluster_not_drained", 503, RPC_UNAVAILABLE, True


class ModelSwitchFailed(AgentCoreError):
    """The new model did not come up; the message says what serves now."""

    code, http_status, rpc_code, retryable = "model_switch_failed", 503, RPC_UNAVAILABLE, False
