from __future__ import annotations

from agentcore.kit.errors import RPC_INTERNAL, StartupError


class ClusterAddressUnavailable(StartupError):
    code, http_status, rpc_code, retryable = "cluster_address_unavailable", 500, RPC_INTERNAL, False
