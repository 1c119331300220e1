"""PostgreSQL and Valkey as child processes shared by all processes of one home."""

from agentcore.kit.embedded.servers import (
    EmbeddedServers,
    EmbeddedStatus,
    ServerStatus,
    open_embedded,
    status,
    stop,
)

__all__ = [
    "EmbeddedServers",
    "EmbeddedStatus",
    "ServerStatus",
    "open_embedded",
    "status",
    "stop",
]
