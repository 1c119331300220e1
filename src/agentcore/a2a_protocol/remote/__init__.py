"""Agents that run elsewhere and speak A2A: found by their cards, driven over HTTP."""
