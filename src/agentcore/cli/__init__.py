"""The `agentcore` command."""
