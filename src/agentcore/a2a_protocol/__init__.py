"""The Agent2Agent protocol: agents, tasks and the JSON-RPC endpoint."""
