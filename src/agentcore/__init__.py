"""AgentCore: one service behind the whole life of a fleet of LLM agents."""
