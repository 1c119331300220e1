"""PostgreSQL and Valkey as child processes shared by all processes of one home."""

from agentcore.kit.embedded.control import ServerStatus, status, stop
from agentcore.kit.embedded.servers import EmbeddedServers, open_embedded

__all__ = ["EmbeddedServers", "ServerStatus", "open_embedded", "status", "stop"]
