"""The commands of `agentcore env`."""
