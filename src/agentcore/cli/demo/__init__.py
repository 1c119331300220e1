"""``agentcore demo``: the whole loop, driven from outside the service over HTTP."""
